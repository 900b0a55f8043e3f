"""Published methods as points in the product of parametrization, objective, selection and penalties."""

from typing import Any

#: name -> what it is, where it is from, and the recipe fields it fills.
PRESETS: dict[str, dict[str, Any]] = {
    "dm": {
        "title": "Distribution matching",
        "summary": "Matches class means in the feature spaces of random networks. Quick, and works on natural images.",
        "paper": {
            "title": "Dataset Condensation with Distribution Matching",
            "authors": "Bo Zhao, Hakan Bilen",
            "venue": "WACV",
            "year": 2023,
            "url": "https://arxiv.org/abs/2110.04181",
        },
        "fills": {
            "steps": 2000,
            "parametrization": {"kind": "images"},
            "objective": {"kind": "distribution"},
            "selection": {"start": "random", "batches": "random"},
        },
    },
    "frepo": {
        "title": "Neural feature regression with pooling",
        "summary": "A ridge regression on the features of a pool of networks. The best choice for small images.",
        "paper": {
            "title": "Dataset Distillation using Neural Feature Regression",
            "authors": "Yongchao Zhou, Ehsan Nezhadarya, Jimmy Ba",
            "venue": "NeurIPS",
            "year": 2022,
            "url": "https://arxiv.org/abs/2206.00719",
        },
        "fills": {
            "steps": 1000,
            "parametrization": {"kind": "images", "labels": "soft"},
            "objective": {"kind": "kernel", "kernel": "features"},
            "selection": {"start": "random", "batches": "random"},
        },
    },
    "bptt": {
        "title": "Back-propagation through training",
        "summary": "Trains a network on the synthetic images and improves them by its loss on real ones. Few images.",
        "paper": {
            "title": "Remember the Past: Distilling Datasets into Addressable Memories for Neural Networks",
            "authors": "Zhiwei Deng, Olga Russakovsky",
            "venue": "NeurIPS",
            "year": 2022,
            "url": "https://arxiv.org/abs/2206.02916",
        },
        "fills": {
            "steps": 1000,
            "parametrization": {"kind": "images"},
            "objective": {"kind": "unrolled", "learning_rate": 0.1},
            "selection": {"start": "centroid", "batches": "random"},
        },
    },
    "dc": {
        "title": "Gradient matching",
        "summary": "Real and synthetic images give the same gradients, while a network learns from the synthetic ones.",
        "paper": {
            "title": "Dataset Condensation with Gradient Matching",
            "authors": "Bo Zhao, Konda Reddy Mopuri, Hakan Bilen",
            "venue": "ICLR",
            "year": 2021,
            "url": "https://arxiv.org/abs/2006.05929",
        },
        "fills": {
            "steps": 2000,
            "parametrization": {"kind": "images"},
            "objective": {"kind": "gradient", "augment": "none", "matchings": 0, "network_steps": 50},
            "selection": {"start": "random", "batches": "random"},
        },
    },
    "dsa": {
        "title": "Gradient matching with Siamese augmentation",
        "summary": "Gradient matching where both sides see the same augmentation: better than `dc` on natural images.",
        "paper": {
            "title": "Dataset Condensation with Differentiable Siamese Augmentation",
            "authors": "Bo Zhao, Hakan Bilen",
            "venue": "ICML",
            "year": 2021,
            "url": "https://arxiv.org/abs/2102.08259",
        },
        "fills": {
            "steps": 2000,
            "parametrization": {"kind": "images"},
            "objective": {"kind": "gradient", "augment": "dsa", "matchings": 0, "network_steps": 50},
            "selection": {"start": "random", "batches": "random"},
        },
    },
    "mtt": {
        "title": "Matching training trajectories",
        "summary": "Training on few images leads where training on all led. Experts come first, and serve later jobs.",
        "paper": {
            "title": "Dataset Distillation by Matching Training Trajectories",
            "authors": "George Cazenavette, Tongzhou Wang, Antonio Torralba, Alexei A. Efros, Jun-Yan Zhu",
            "venue": "CVPR",
            "year": 2022,
            "url": "https://arxiv.org/abs/2203.11932",
        },
        "fills": {
            "steps": 1500,
            "parametrization": {"kind": "images"},
            "objective": {"kind": "trajectory", "synthetic_steps": 30, "match_epochs": 2},
            "selection": {"start": "random", "batches": "random"},
        },
    },
    "dim": {
        "title": "Distilling into a generative model",
        "summary": "Learns a generator, from which any number of images can be drawn. Its warm-up serves later jobs.",
        "paper": {
            "title": "DiM: Distilling Dataset into Generative Model",
            "authors": "Kai Wang, Jianyang Gu, Daquan Zhou, Zheng Zhu, Wei Jiang, Yang You",
            "venue": "arXiv",
            "year": 2023,
            "url": "https://arxiv.org/abs/2303.04707",
        },
        "fills": {
            "steps": 2000,
            "parametrization": {"kind": "generator"},
            "objective": {"kind": "logits", "match": "logits"},
            "selection": {"start": "random", "batches": "random"},
        },
    },
    "sre2l": {
        "title": "Squeeze, recover and relabel",
        "summary": "Images that a trained teacher knows, with its soft labels. The teacher comes first. Made to scale.",
        "paper": {
            "title": "Squeeze, Recover and Relabel: Dataset Condensation at ImageNet Scale From A New Perspective",
            "authors": "Zeyuan Yin, Eric Xing, Zhiqiang Shen",
            "venue": "NeurIPS",
            "year": 2023,
            "url": "https://arxiv.org/abs/2306.13092",
        },
        "fills": {
            "steps": 1000,
            "parametrization": {"kind": "images", "labels": "soft"},
            "objective": {"kind": "statistics"},
            "selection": {"start": "random", "batches": "random"},
        },
    },
    "remember-the-past": {
        "title": "Addressable memories",
        "summary": "Images are recalled from bases that all classes share: many images in few bytes. Slow, and strong.",
        "paper": {
            "title": "Remember the Past: Distilling Datasets into Addressable Memories for Neural Networks",
            "authors": "Zhiwei Deng, Olga Russakovsky",
            "venue": "NeurIPS",
            "year": 2022,
            "url": "https://arxiv.org/abs/2206.02916",
        },
        "fills": {
            "steps": 1000,
            "parametrization": {"kind": "memory", "bases": 16, "downsample": 2},
            "objective": {
                "kind": "unrolled",
                "optimiser": "sgd",
                "learning_rate": 0.1,
                "momentum": 0.5,
                "clip": 2.0,
                "network": "convnet3",
                "inner_steps": 150,
                "inner_batch": 32,
                "inner_learning_rate": 0.01,
                "inner_momentum": 0.9,
                "real_batch": 640,
            },
            "selection": {"start": "centroid", "batches": "random"},
        },
    },
    "kip": {
        "title": "Kernel inducing points",
        "summary": "A ridge regression with a Gaussian kernel on pixels: no network at all, seconds on a CPU.",
        "paper": {
            "title": "Dataset Meta-Learning from Kernel Ridge-Regression",
            "authors": "Timothy Nguyen, Zhourong Chen, Jaehoon Lee",
            "venue": "ICLR",
            "year": 2021,
            "url": "https://arxiv.org/abs/2011.00050",
        },
        "fills": {
            "steps": 500,
            "parametrization": {"kind": "images"},
            "objective": {"kind": "kernel", "kernel": "gaussian", "ridge": 1e-3, "learning_rate": 0.01},
            "selection": {"start": "centroid", "batches": "random"},
        },
    },
}
