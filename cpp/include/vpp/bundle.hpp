#pragma once

#include <filesystem>
#include <string>

#include "vpp/manifest.hpp"

namespace vpp {

/// A checked bundle on disk: nothing in it is used before it has been checked.
class Bundle {
  public:
    /// What to compare with the manifest. Hashing takes about a second for 300 MB.
    enum class Check { Hashes, Sizes };

    /// Read and check a bundle.
    ///
    /// @throws BundleError the folder or its manifest is missing or unreadable; the manifest has a newer schema,
    ///     another task than segmentation, or breaks the schema; a listed file lies outside the folder, is missing or
    ///     was altered.
    static Bundle open(const std::filesystem::path& folder, Check check = Check::Hashes);

    const std::filesystem::path& path() const { return path_; }
    const Manifest& manifest() const { return manifest_; }

    /// The ONNX graph of a phase.
    std::filesystem::path graph_path(GraphRole phase) const { return path_ / manifest_.graph(phase).file; }

    /// The safetensors file that both graphs point into.
    std::filesystem::path weights_path() const { return path_ / manifest_.weights_file; }

    /// Where the engine files of a backend are. It need not exist.
    std::filesystem::path engine_folder(const std::string& backend) const { return path_ / "engines" / backend; }

  private:
    Bundle(std::filesystem::path path, Manifest manifest);

    std::filesystem::path path_;
    Manifest manifest_;
};

}  // namespace vpp
