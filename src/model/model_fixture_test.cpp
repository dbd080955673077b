// The definitions of model_test_fixture.h.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "core/file.h"
#include "model/model_test_fixture.h"

namespace nibble::test {

std::vector<std::string> supported_implementations() {
  std::vector<std::string> names;
  for (const CpuImplementationInfo& info : cpu_implementations()) {
    if (info.supported) names.emplace_back(info.name);
  }
  return names;
}

LoadedModel open_model(const std::string& folder, const std::string& implementation,
                       size_t max_batch_rows) {
  LoadedModel loaded;
  auto backend = make_cpu_backend({0, implementation});
  if (!backend) {
    ADD_FAILURE() << backend.error().to_string();
    return loaded;
  }
  loaded.backend = std::move(backend).value();
  auto checkpoint = Checkpoint::open(folder);
  if (!checkpoint) {
    ADD_FAILURE() << checkpoint.error().to_string();
    return loaded;
  }
  ModelOptions options;
  options.max_batch_rows = max_batch_rows;
  auto model = load_model(std::move(checkpoint).value(), *loaded.backend, options);
  if (!model) {
    ADD_FAILURE() << model.error().to_string();
    return loaded;
  }
  loaded.model = std::move(model).value();
  return loaded;
}

void link_without_golden(const std::string& folder, const std::string& target) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name == "golden.safetensors") continue;
    std::filesystem::create_symlink(entry.path(), std::filesystem::path(target) / name);
  }
}

std::vector<float> floats(const TensorFile& file, const std::string& name) {
  const auto tensor = file.find(name);
  if (!tensor) {
    ADD_FAILURE() << "no tensor " << name;
    return {};
  }
  std::vector<float> values(n_elements(tensor->shape).value());
  EXPECT_TRUE(to_f32(*tensor, values).has_value()) << name;
  return values;
}

std::vector<int32_t> ids(const TensorFile& file, const std::string& name) {
  const auto tensor = file.find(name);
  if (!tensor || tensor->dtype != DType::kI32) {
    ADD_FAILURE() << "no tensor of ids " << name;
    return {};
  }
  std::vector<int32_t> values(tensor->bytes.size() / sizeof(int32_t));
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

TensorFile open_golden(const std::string& path) {
  auto file = TensorFile::open(path);
  if (!file) ADD_FAILURE() << file.error().to_string();
  return std::move(file).value();
}

std::vector<float> run(Model& model, SequenceState& state, std::span<const int32_t> tokens,
                       std::vector<size_t> batch_sizes, Tap* tap) {
  const auto vocab_size = static_cast<size_t>(model.config().vocab_size);
  std::vector<float> logits(tokens.size() * vocab_size);
  size_t done = 0;
  for (size_t i = 0; done < tokens.size(); ++i) {
    const size_t size = batch_sizes[std::min(i, batch_sizes.size() - 1)];
    const size_t n = std::min({size, tokens.size() - done, model.max_batch_rows()});
    std::vector<int32_t> rows(n);
    for (size_t r = 0; r < n; ++r) rows[r] = static_cast<int32_t>(r);
    const Segment segment[] = {{&state, 0, n}};
    const Status status = model.forward({tokens.subspan(done, n), segment, rows},
                                        {logits.data() + done * vocab_size, n * vocab_size}, tap);
    if (!status) ADD_FAILURE() << status.error().to_string();
    done += n;
  }
  return logits;
}

std::vector<int32_t> continue_greedily(Model& model, std::span<const int32_t> prompt, size_t n) {
  auto state = model.new_state(prompt.size() + n).value();
  const auto vocab_size = static_cast<std::ptrdiff_t>(model.config().vocab_size);
  std::vector<int32_t> output;
  std::vector<int32_t> next(prompt.begin(), prompt.end());
  while (output.size() < n) {
    const std::vector<float> logits = run(model, *state, next);
    const auto last = logits.end() - vocab_size;
    output.push_back(static_cast<int32_t>(std::max_element(last, logits.end()) - last));
    next = {output.back()};
  }
  return output;
}

double max_difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (std::isnan(difference)) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

void Recorder::see(std::string_view point, int64_t layer, std::span<const float> seen,
                   size_t n_rows, size_t cols) {
  EXPECT_EQ(seen.size(), n_rows * cols);
  const bool is_outside = point == "embed" || point == "final_norm";
  std::string name = is_outside ? std::string(point) : "layer." + std::to_string(layer);
  if (!is_outside && point != "layer") name += "." + std::string(point);
  values[name].insert(values[name].end(), seen.begin(), seen.end());
  n_cols[name] = cols;
}

EditableCheckpoint::EditableCheckpoint(const std::string& folder)
    : config(read_json_file(folder + "/config.json").value()) {
  const TensorFile file = open_golden(folder + "/model.safetensors");
  for (const std::string& name : file.names()) {
    const TensorView view = file.find(name).value();
    Tensor copy = Tensor::zeros(view.dtype, view.shape).value();
    std::memcpy(copy.bytes().data(), view.bytes.data(), view.bytes.size());
    tensors.emplace(name, std::move(copy));
  }
}

void EditableCheckpoint::write(const std::string& folder) const {
  std::vector<NamedTensor> named;
  for (const auto& entry : tensors) named.push_back({entry.first, entry.second.view()});
  EXPECT_TRUE(write_tensor_file(folder + "/model.safetensors", named).has_value());
  EXPECT_TRUE(write_file_atomically(folder + "/config.json", dump_json(config)).has_value());
}

}  // namespace nibble::test
