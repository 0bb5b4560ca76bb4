# docker build -t keras-seq2seq . && docker run --rm -v "$PWD:/work" keras-seq2seq train recipe=translation/cldr_dates
FROM python:3.12-slim

# A C++ compiler for the kernels, which are compiled for the machine that runs the container.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

# serve: `seq2seq serve`; export: `seq2seq export`; team: MLflow on PostgreSQL and an object store.
ARG EXTRAS=serve,export,team
COPY . /src
RUN pip install --no-cache-dir --constraint /src/constraints.txt "/src[$EXTRAS]" && rm -rf /src

WORKDIR /work
ENTRYPOINT ["seq2seq"]
