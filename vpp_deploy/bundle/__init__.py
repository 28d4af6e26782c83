"""The bundle: a folder with graphs, weights and the manifest that describes them."""

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.external_data import externalize
from vpp_deploy.bundle.hashing import sha256_of_bytes, sha256_of_file
from vpp_deploy.bundle.manifest import SCHEMA_VERSION, FileRecord, GraphRole, Manifest
from vpp_deploy.bundle.reader import MANIFEST_FILE, Bundle
from vpp_deploy.bundle.segmentation_manifest import SegmentationManifest
from vpp_deploy.bundle.writer import BundleWriter

__all__ = [
    "MANIFEST_FILE",
    "SCHEMA_VERSION",
    "Bundle",
    "BundleWriter",
    "ClassificationManifest",
    "FileRecord",
    "GraphRole",
    "Manifest",
    "SegmentationManifest",
    "externalize",
    "sha256_of_bytes",
    "sha256_of_file",
]
