#pragma once

#include <vector>

#include "candidates.hpp"
#include "vpp/results.hpp"

namespace vpp::check {

/// Tracked objects as arrays, as the Python class has them.
inline Json instances_json(const std::vector<Instance>& instances, ArrayFile& results) {
    Json json{{"identities", Json::array()}, {"labels", Json::array()}, {"boxes", Json::array()}};
    std::vector<float> scores;
    for (const Instance& instance : instances) {
        json["identities"].push_back(instance.identity);
        json["labels"].push_back(instance.label);
        json["boxes"].push_back(box_json(instance.box));
        scores.push_back(instance.score);
    }
    json["scores"] = results.append(scores, {static_cast<std::int64_t>(scores.size())});
    json["masks"] = append_masks(instances, results);
    return json;
}

}  // namespace vpp::check
