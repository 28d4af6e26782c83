"""Instance segmentation of video: masks with identities, frame by frame."""

from vpp_deploy.registry import lazy
from vpp_deploy.tasks.segmentation.options import RunOptions
from vpp_deploy.tasks.task import Task

TASK = Task(
    name="segmentation",
    title="instance segmentation",
    results=lambda manifest: "masks, labels and tracks",
    run_options=RunOptions,
    open_session=lazy("vpp_deploy.tasks.segmentation.session:VideoSession"),
    open_model=lazy("vpp_deploy.tasks.segmentation.model:SegmentationModel"),
    run=lazy("vpp_deploy.tasks.segmentation.infer:run"),
    next_run=lambda manifest: ("VIDEO", "-o", "tracked.mp4"),
    source=lambda manifest: "VIDEO",
    check_parity=lazy("vpp_deploy.tasks.segmentation.parity.check:check_parity"),
    render=lazy("vpp_deploy.tasks.segmentation.parity.render:render"),
    workload=lazy("vpp_deploy.tasks.segmentation.workload:VideoWorkload"),
    prepare_accuracy=lazy("vpp_deploy.tasks.segmentation.parity.with_accuracy:prepare"),
    open_data=lazy("vpp_deploy.tasks.segmentation.evaluation.runner:open_data"),
    evaluate=lazy("vpp_deploy.tasks.segmentation.evaluation.runner:evaluate"),
    keeps_predictions=True,
    render_evaluation=lazy("vpp_deploy.tasks.segmentation.evaluation.render:render_evaluation"),
    describe=lazy("vpp_deploy.tasks.segmentation.inspect:describe"),
    page=lazy("vpp_deploy.tasks.segmentation.inspect:page"),
)
