// Forecasts with OpenVINO in C++: ./forecast FOLDER/predict.xml < numbers
//
// FOLDER is what `seq2seq export RUN FOLDER --format openvino` wrote of a run that forecasts one
// series without covariates. OpenVINO's Python package has the headers and the library:
//   OPENVINO=$(python -c 'import openvino; print(openvino.__path__[0])')
//   g++ -std=c++17 forecast.cpp -o forecast -I"$OPENVINO/include" "$OPENVINO"/libs/libopenvino.so.* \
//       -Wl,-rpath,"$OPENVINO/libs"
#include <cstdint>
#include <iostream>
#include <iterator>
#include <vector>

#include <openvino/openvino.hpp>

int main(int, char** arguments) {
  std::vector<float> history(std::istream_iterator<float>(std::cin), {});
  auto length = static_cast<int32_t>(history.size());

  ov::Core core;
  auto request = core.compile_model(arguments[1], "CPU").create_infer_request();
  request.set_tensor("history", ov::Tensor(ov::element::f32, {1, history.size(), 1}, history.data()));
  request.set_tensor("history_length", ov::Tensor(ov::element::i32, {1}, &length));
  request.infer();

  ov::Tensor forecast = request.get_tensor("forecast");  // (1, horizon, 1)
  for (size_t step = 0; step < forecast.get_size(); ++step) {
    std::cout << forecast.data<float>()[step] << '\n';
  }
}
