"""Class-activation maps: where in an image a network sees its class. All can be differentiated in the image.

Grad-CAM for networks of convolutions: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via
Gradient-based Localization", ICCV 2017, eq. 1 and 2. For transformers the class token's attention to the patches in
the last block, in mean over the heads; of that the class is no part.
"""
# Shapes: N images, C channels, H height, W width, D maps (or heads) of height h and width w, K classes, M networks.

import torch
from torch import Tensor
from torch.nn import functional

from workers.distill.networks.base import Maps

#: What a map's spread is at least taken for, as a share of the largest value that it had before the ReLU: what is
#: fainter stays faint. Without it the slope of a map that is almost flat would have no bound.
FAINT = 0.01
#: And at least this, where there was no value at all.
NOTHING = 1e-12


def class_activation(maps: Maps, labels_N: Tensor, *, size: tuple[int, int]) -> Tensor:
    """cams_NHW in [0, 1] over the image itself, of `size` (H, W), for the class of each image (int64 [N]).

    The images that the maps are of must require gradients. A map without any positive value is 0 everywhere.
    """
    signed_Nhw = maps.maps_NDhw.mean(1) if maps.attention else grad_cam(maps, labels_N)
    left, right, above, below = maps.border
    height, wide = size
    whole_N1HW = functional.interpolate(
        signed_Nhw.relu()[:, None],
        size=(height + above + below, wide + left + right),
        mode="bilinear",
        align_corners=False,
    )
    cropped_NHW = whole_N1HW[:, 0, above : above + height, left : left + wide]
    return normalised(cropped_NHW, strength_N=signed_Nhw.detach().abs().amax((1, 2)))


def grad_cam(maps: Maps, labels_N: Tensor) -> Tensor:
    """signed_Nhw = sum_d a_d A_d, where a_d is the mean over the map A_d of the slope of the class's logit in it.

    Grad-CAM is the positive part.
    """
    chosen = maps.logits_NK.gather(1, labels_N[:, None]).sum()
    (slopes_NDhw,) = torch.autograd.grad(chosen, maps.maps_NDhw, create_graph=True)
    return (slopes_NDhw.mean((2, 3), keepdim=True) * maps.maps_NDhw).sum(1)


def normalised(maps_NHW: Tensor, *, strength_N: Tensor) -> Tensor:
    """(c - min c) / (max c - min c) of each map, where the divisor is at least FAINT times its strength."""
    low_N11, high_N11 = maps_NHW.amin((1, 2), keepdim=True), maps_NHW.amax((1, 2), keepdim=True)
    least_N11 = (FAINT * strength_N).clamp_min(NOTHING)[:, None, None]
    return (maps_NHW - low_N11) / torch.maximum(high_N11 - low_N11, least_N11)


def variance(cams_MNHW: Tensor) -> Tensor:
    """The variance over the networks (divided by M), in mean over images and pixels."""
    return cams_MNHW.var(0, correction=0).mean()


def apart(cams_MNHW: Tensor) -> Tensor:
    """How far the maps' centres of mass lie apart: their variance over the networks, in mean over the images.

    Centres are in shares of the image's height and width; that of a map without mass is the middle of the image.
    """
    mass_MN = cams_MNHW.sum((2, 3))
    empty_MN = mass_MN <= 0
    divisor_MN = mass_MN.where(~empty_MN, torch.ones_like(mass_MN))
    total = cams_MNHW.new_zeros(())
    for profile_MNL in (cams_MNHW.sum(3), cams_MNHW.sum(2)):
        length = profile_MNL.shape[2]
        places_L = (torch.arange(length, device=profile_MNL.device, dtype=profile_MNL.dtype) + 0.5) / length
        centre_MN = (profile_MNL * places_L).sum(2) / divisor_MN
        centre_MN = centre_MN.where(~empty_MN, torch.full_like(centre_MN, 0.5))
        total = total + centre_MN.var(0, correction=0).mean()
    return total
