#include "vpp/detections.hpp"

#include "candidates.hpp"

namespace vpp::check {

Json run_detections(const Json& input, const ArrayFile& arrays, ArrayFile& results) {
    const CandidateArrays candidates(input, arrays);
    std::vector<float> score_floor;
    if (input.contains("score_floor")) {
        score_floor = arrays.read<float>(input.at("score_floor"));
    }
    const std::vector<Detection> detections =
        decode_detections(candidates.view(), candidates.geometry(), input.at("max_instances"), score_floor);
    std::vector<float> scores;
    Json result{
        {"query_indices", Json::array()}, {"rows", Json::array()}, {"labels", Json::array()}, {"boxes", Json::array()}};
    for (const Detection& detection : detections) {
        result["query_indices"].push_back(detection.query_index);
        result["rows"].push_back(detection.row);
        result["labels"].push_back(detection.label);
        result["boxes"].push_back(box_json(detection.box));
        scores.push_back(detection.score);
    }
    result["scores"] = results.append(scores, {static_cast<std::int64_t>(scores.size())});
    result["masks"] = append_masks(detections, results);
    return result;
}

}  // namespace vpp::check
