/** Requests to the server. */

/** An answer that is an error, with the message for people. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {number} status 0 if there is no answer.
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The server; its token is kept in memory only. */
export class Api {
  #token = null;

  /** Called when the server refuses the token, or there is none. */
  onUnauthorized = () => {};

  setToken(token) {
    this.#token = token;
  }

  /** Returns the models, see `ModelInfo` in `model_info.py`. */
  models() {
    return this.#json("models");
  }

  /**
   * @param {string} model
   * @param {string} route such as `predict`
   * @param {object} body
   * @param {AbortSignal=} signal
   */
  post(model, route, body, signal) {
    return this.#json(`models/${encodeURIComponent(model)}/${route}`, body, signal);
  }

  /**
   * Yields the parts of a continuation as the server generates it.
   *
   * @param {string} model
   * @param {object} body
   * @param {AbortSignal} signal
   */
  async *generate(model, body, signal) {
    const path = `models/${encodeURIComponent(model)}/generate`;
    const reply = await this.#fetch(path, body, signal);
    for await (const { name, data } of events(reply.body)) {
      if (name === "error") throw new ApiError(data.detail, 500);
      if (name === "end") return;
      yield data.text;
    }
    throw new ApiError("The connection ended before the text did.", 0);
  }

  async #json(path, body, signal) {
    return (await this.#fetch(path, body, signal)).json();
  }

  async #fetch(path, body, signal) {
    const headers = this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` };
    const options = { headers, signal };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    }
    let reply;
    try {
      reply = await fetch(path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError("The server cannot be reached.", 0);
    }
    if (reply.ok) return reply;
    const answer = await reply.json().catch(() => ({}));
    const message = answer.detail ?? `The server answered with status ${reply.status}.`;
    if (reply.status === 401) this.onUnauthorized();
    throw new ApiError(message, reply.status);
  }
}

/** Yields the server-sent events of a body as `{name, data}`. */
async function* events(body) {
  let text = "";
  for await (const part of textParts(body)) {
    text += part;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = block.split("\n").map((line) => /^(\w+): (.*)$/.exec(line)?.slice(1) ?? []);
      const { event, data } = Object.fromEntries(fields.filter((field) => field.length));
      yield { name: event ?? "message", data: JSON.parse(data) };
    }
  }
}

async function* textParts(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
