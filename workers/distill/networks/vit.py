"""ViT-tiny: a transformer of patches, 192 wide with 3 heads; the family that shares least with a ConvNet.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, in the tiny size of Touvron et al., "Training
data-efficient image transformers", ICML 2021 (without its distillation token), as torchvision has it, without dropout.
"""
# Shapes: N images, C channels, H height, W width, K classes, D features.

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import pad
from torchvision.models.vision_transformer import VisionTransformer

from workers.distill.networks.base import Network

WIDTH, HEADS, DEFAULT_DEPTH = 192, 3, 12
#: Patches a side, at most: 32 pixels are cut into patches of 4, 28 into 7 x 7 of them, 64 into patches of 8.
GRID = 8


class ViT(Network):
    """One ViT. On 3x32x32 images with depth 12 it has 5,362,762 weights for ten classes.

    Any images fit: where patches do not divide the longer side, or the sides differ, zeros (the mean colour) stand
    around the image.
    """

    TOKENS: ClassVar[tuple[str, ...]] = ("body.class_token", "body.encoder.pos_embedding")

    def __init__(self, shape: tuple[int, int, int], num_classes: int, *, depth: int) -> None:
        super().__init__()
        channels, height, wide = shape
        patch = -(-max(height, wide) // GRID)
        side = -(-max(height, wide) // patch) * patch
        left, above = (side - wide) // 2, (side - height) // 2
        self.border = (left, side - wide - left, above, side - height - above)
        self.body = VisionTransformer(
            image_size=side, patch_size=patch, num_layers=depth, num_heads=HEADS, hidden_dim=WIDTH, mlp_dim=4 * WIDTH
        )
        self.body.conv_proj = nn.Conv2d(channels, WIDTH, patch, stride=patch)
        self.body.heads = nn.Sequential()
        self.head = nn.Linear(WIDTH, num_classes)

    @classmethod
    def options(cls, dials: tuple[Any, ...]) -> dict[str, Any]:
        (depth,) = dials
        return {"depth": int(depth or DEFAULT_DEPTH)}

    def features(self, images_NCHW: Tensor) -> Tensor:
        # The fused kernels of attention cannot be differentiated twice; plain products can.
        with sdpa_kernel(SDPBackend.MATH):
            return self.body(pad(images_NCHW, self.border))
