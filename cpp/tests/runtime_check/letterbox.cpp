#include "vpp/letterbox.hpp"

#include "arrays.hpp"
#include "sizes.hpp"

namespace vpp::check {

Json run_letterbox(const Json& input, const ArrayFile& arrays, ArrayFile& results) {
    const Json& image = input.at("image");
    const Size size = size_of(input.at("size"));
    const auto [boxed, content] = letterbox(arrays.read<std::uint8_t>(image).data(), size_of(image.at("shape")), size);
    return {{"image", results.append(boxed, {size.height, size.width, 3})},
            {"content", {content.height, content.width}}};
}

}  // namespace vpp::check
