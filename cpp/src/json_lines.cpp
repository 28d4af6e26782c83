#include "vpp/json_lines.hpp"

#include <cmath>
#include <locale>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <utility>

#include "output_file.hpp"
#include "vpp/error.hpp"
#include "vpp/rle.hpp"

namespace vpp {
namespace {

using Json = nlohmann::ordered_json;

/// The double nearest to six decimals of `score`, as Python's `round(score, 6)`.
double six_decimals(float score) {
    std::stringstream text;
    text.imbue(std::locale::classic());
    text.precision(6);
    text << std::fixed << static_cast<double>(score);
    double rounded = 0;
    text >> rounded;
    return rounded;
}

double finite(double number, const char* what, std::int64_t frame) {
    if (!std::isfinite(number)) {
        throw UsageError("frame " + std::to_string(frame) + ": " + what + " is " + std::to_string(number) +
                         ", which JSON cannot hold; give finite numbers");
    }
    return number;
}

Json instance_record(const Instance& instance, const FrameResult& result, const std::vector<std::string>& class_names) {
    if (instance.label < 0 || instance.label >= static_cast<std::int64_t>(class_names.size())) {
        throw UsageError("frame " + std::to_string(result.index) + ": label " + std::to_string(instance.label) +
                         " has no name among " + std::to_string(class_names.size()) +
                         "; give the class names of the bundle's manifest");
    }
    const Box& box = instance.box;
    const Mask& mask = *instance.mask;
    return {{"identity", instance.identity},
            {"label", instance.label},
            {"class", class_names[static_cast<std::size_t>(instance.label)]},
            {"score", six_decimals(static_cast<float>(finite(instance.score, "a score", result.index)))},
            {"box", std::vector<double>{static_cast<double>(box.x1), static_cast<double>(box.y1),
                                        static_cast<double>(box.x2), static_cast<double>(box.y2)}},
            {"segmentation", Json{{"size", std::vector<std::int64_t>{mask.size.height, mask.size.width}},
                                  {"counts", rle_counts(mask)}}}};
}

Json frame_record(const FrameResult& result, const std::vector<std::string>& class_names) {
    Json record;
    record["index"] = result.index;
    record["time"] = result.time ? Json(finite(*result.time, "the time", result.index)) : Json();
    if (!result.name.empty()) {
        record["name"] = result.name;
    }
    record["size"] = {result.original_size.height, result.original_size.width};
    record["instances"] = Json::array();
    for (const Instance& instance : result.instances) {
        record["instances"].push_back(instance_record(instance, result, class_names));
    }
    record["kept"] = Json::object();
    record["keep_ratios"] = Json::object();
    for (const auto& [point, positions] : result.kept) {
        record["kept"][point] = positions;
        record["keep_ratios"][point] = static_cast<double>(positions.size()) / static_cast<double>(result.grid.area());
    }
    record["candidates_dropped"] = result.candidates_dropped;
    record["tracks_not_fed"] = result.tracks_not_fed;
    record["seconds"] = Json::object();
    for (const auto& [part, seconds] : result.seconds) {
        record["seconds"][part] = finite(seconds, "a duration", result.index);
    }
    return record;
}

}  // namespace

std::string json_line(const FrameResult& result, const std::vector<std::string>& class_names) {
    return frame_record(result, class_names).dump(-1, ' ', true, Json::error_handler_t::replace);
}

JsonLinesWriter::JsonLinesWriter(const std::filesystem::path& path, std::vector<std::string> class_names)
    : class_names_(std::move(class_names)),
      output_(std::make_unique<OutputFile>(path)),
      file_(output_->temporary(), std::ios::binary) {}

JsonLinesWriter::~JsonLinesWriter() {
    file_.close();
    std::error_code failed;
    if (complete_bytes_ > 0) {
        std::filesystem::resize_file(output_->temporary(), complete_bytes_, failed);  // cuts a broken line off
        if (!failed) {
            output_->commit_partial();
        }
    }
}

void JsonLinesWriter::write(const FrameResult& result) {
    const std::string line = json_line(result, class_names_) + "\n";
    if (!file_.write(line.data(), static_cast<std::streamsize>(line.size())).flush()) {
        throw OutputError(output_->path().string() + ": writing failed; is the disk full?");
    }
    complete_bytes_ += line.size();
}

void JsonLinesWriter::close() {
    file_.close();
    if (!file_) {
        throw OutputError(output_->path().string() + ": writing failed; is the disk full?");
    }
    output_->commit();
    complete_bytes_ = 0;
}

}  // namespace vpp
