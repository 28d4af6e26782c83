"""The bundle: a folder with graphs, weights and the manifest that describes them."""

from vpp_deploy.bundle.hashing import sha256_of_bytes, sha256_of_file
from vpp_deploy.bundle.manifest import SCHEMA_VERSION, FileRecord, Manifest, Phase
from vpp_deploy.bundle.papr_manifest import PaprManifest
from vpp_deploy.bundle.reader import MANIFEST_FILE, Bundle
from vpp_deploy.bundle.vpp_manifest import VppManifest
from vpp_deploy.bundle.weights import externalize
from vpp_deploy.bundle.writer import BundleWriter

__all__ = [
    "MANIFEST_FILE",
    "SCHEMA_VERSION",
    "Bundle",
    "BundleWriter",
    "FileRecord",
    "Manifest",
    "PaprManifest",
    "Phase",
    "VppManifest",
    "externalize",
    "sha256_of_bytes",
    "sha256_of_file",
]
