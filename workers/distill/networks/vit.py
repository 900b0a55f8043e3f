"""ViT-tiny: a transformer of patches, 192 wide with 3 heads; the family that shares least with a ConvNet.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, in the tiny size of Touvron et al., "Training
data-efficient image transformers", ICML 2021 (without its distillation token), as torchvision has it, without dropout.
"""
# Shapes: N images, C channels, H height, W width, K classes, D features.

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import pad
from torchvision.models.vision_transformer import VisionTransformer

from workers.distill.networks.base import Maps, Network

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

    def maps(self, images_NCHW: Tensor) -> Maps:
        """What the class token looks at in the last block: the block by hand, because torchvision's tells nobody."""
        encoder = self.body.encoder
        with sdpa_kernel(SDPBackend.MATH):
            patches_NWhw = self.body.conv_proj(pad(images_NCHW, self.border))
            begun_N1W = self.body.class_token.expand(len(images_NCHW), -1, -1)
            tokens_NPW = torch.cat([begun_N1W, patches_NWhw.flatten(2).transpose(1, 2)], dim=1)
            tokens_NPW = encoder.layers[:-1](tokens_NPW + encoder.pos_embedding)
            last: Any = encoder.layers[-1]
            normed_NPW = last.ln_1(tokens_NPW)
            mixed_NPW, weights_NDPP = last.self_attention(
                normed_NPW, normed_NPW, normed_NPW, need_weights=True, average_attn_weights=False
            )
            tokens_NPW = tokens_NPW + mixed_NPW
            tokens_NPW = tokens_NPW + last.mlp(last.ln_2(tokens_NPW))
        maps_NDhw = weights_NDPP[:, :, 0, 1:].unflatten(2, patches_NWhw.shape[2:])
        logits_NK = self.head(encoder.ln(tokens_NPW)[:, 0])
        return Maps(maps_NDhw=maps_NDhw, logits_NK=logits_NK, border=self.border, attention=True)
