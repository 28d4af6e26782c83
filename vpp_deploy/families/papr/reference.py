"""The PyTorch reference of a PaPr bundle as an engine: the very module that was exported, with the bundle's weights."""

from __future__ import annotations

from vpp_deploy.bundle.classification_manifest import ClassificationManifest
from vpp_deploy.bundle.reader import Bundle
from vpp_deploy.exporters.checkpoint import weights_of
from vpp_deploy.exporters.classifier import ClassifierReference
from vpp_deploy.exporters.rebuilding import check_size, rebuilt
from vpp_deploy.families.papr.catalogue import unfilled_model
from vpp_deploy.families.papr.config import PaprConfig
from vpp_deploy.families.papr.weights import without_head


class PaprTorchEngine(ClassifierReference):
    """The reference that every other engine of a PaPr bundle is compared with.

    Args:
        bundle: rebuilt from its manifest and its weights file, not from its graph.

    Raises:
        UsageError: the bundle is for another task.
        CheckpointError: the weights file does not fit the configuration in the manifest.
        ConfigError, ExportError: the configuration in the manifest does not make a model.
    """

    def __init__(self, bundle: Bundle) -> None:
        manifest = ClassificationManifest.of(bundle.manifest, "PaprTorchEngine")
        config = PaprConfig.from_dict(manifest.model.config)
        check_size(bundle, config.size, manifest.frame_size)
        tensors = weights_of(bundle)
        if manifest.proposal is not None:
            tensors = without_head(tensors, manifest.proposal, "proposal.network.")
        super().__init__(bundle, rebuilt(bundle, lambda: unfilled_model(config), tensors))


def open_reference(bundle: Bundle, selection: str) -> PaprTorchEngine:
    """See `vpp_deploy.families.open_reference`; it selects a fixed number of patches."""
    del selection
    return PaprTorchEngine(bundle)
