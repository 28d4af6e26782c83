#include "vpp/bundle.hpp"

#include <system_error>
#include <utility>

#include "file_check.hpp"
#include "text.hpp"
#include "vpp/error.hpp"

namespace vpp {
namespace fs = std::filesystem;

Bundle::Bundle(fs::path path, Manifest manifest) : path_(std::move(path)), manifest_(std::move(manifest)) {}

Bundle Bundle::open(const fs::path& folder, Check check) {
    constexpr const char* kAdvice = ": give the folder that `vpp-deploy export` wrote";
    const fs::path manifest_path = folder / "manifest.json";
    std::error_code ignored;
    if (!fs::is_directory(folder, ignored)) {
        const char* what = fs::exists(folder, ignored) ? " is not a folder" : " does not exist";
        throw BundleError("bundle " + folder.string() + what + kAdvice);
    }
    if (!fs::is_regular_file(manifest_path, ignored)) {
        throw BundleError("bundle " + folder.string() + " has no manifest.json" + kAdvice);
    }
    Bundle bundle(folder, read_manifest(manifest_path));
    for (const auto& [name, record] : bundle.manifest_.files) {
        if (const auto problem = file_problem(folder, name, record, check == Check::Hashes, true)) {
            throw BundleError("bundle " + folder.string() + ": file " + in_quotes(name) + " " + *problem +
                              ": export it again");
        }
    }
    return bundle;
}

}  // namespace vpp
