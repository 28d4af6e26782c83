#include <cmath>
#include <memory>
#include <vector>

#include "check.hpp"
#include "vpp/error.hpp"
#include "vpp/json_lines.hpp"

int main() {
    vpp::FrameResult frame;
    frame.original_size = {2, 3};
    frame.grid = {1, 4};
    frame.kept = {{"selection_1", {0, 2}}};
    const auto mask = std::make_shared<vpp::Mask>(vpp::Mask{{2, 3}, {0, 1, 0, 0, 1, 0}});
    frame.instances = {{4, 1, 0.1F, {1, 0, 2, 2}, mask}};
    CHECK(vpp::json_line(frame, {"dog", "cat"}) ==
          R"({"index":0,"time":null,"size":[2,3],"instances":[{"identity":4,"label":1,"class":"cat","score":0.1,)"
          R"("box":[1.0,0.0,2.0,2.0],"segmentation":{"size":[2,3],"counts":"222"}}],"kept":{"selection_1":[0,2]},)"
          R"("keep_ratios":{"selection_1":0.5},"candidates_dropped":0,"tracks_not_fed":0,"seconds":{}})");

    CHECK_THROWS(vpp::json_line(frame, {"dog"}), vpp::UsageError, "label 1 has no name among 1");
    frame.time = std::nan("");
    CHECK_THROWS(vpp::json_line(frame, {"dog", "cat"}), vpp::UsageError, "the time is nan");
    CHECK_THROWS(vpp::JsonLinesWriter("no/such/folder/a.jsonl", {}), vpp::OutputError, "is not a folder that exists");
    CHECK_THROWS(vpp::JsonLinesWriter(".", {}), vpp::OutputError, "this is a folder");
    return vpp::test::failures();
}
