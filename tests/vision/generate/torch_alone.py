"""Must be imported before transformers: torchvision's compiled operators load beside a CUDA build of torch only, and none is used here."""

import torch

_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    _OPERATORS.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

torch.set_num_threads(1)  # the order of sums is part of a reference
torch.manual_seed(0)
