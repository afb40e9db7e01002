"""What frozen embeddings can learn without labels, on a processor: two clustering heads and two linear maps.

`temi` and `turtle` train heads that put points into a given number of clusters. `whiten_neighbors` and `contrast_neighbors`
learn from pairs of near neighbours which directions of an embedding matter. Chapter 29 compares them with trees.
"""

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from torch import nn
from torch.nn import functional as F


def temi(points, k, seed=0, n_heads=16, n_neighbors=10, steps=400, beta=0.6, temperature=0.1):
    """Labels (n,) of at most k clusters of points (n, d), by a linear head.

    A head learns to give a point and its nearest neighbours the same cluster, and all clusters about as many points: student
    and teacher maximise the pointwise mutual information of such pairs. Pairs on which the teachers of all heads agree count
    more. The head with the least loss is used. Adaloglou, Michels, Kalisch and Kollmann (2023), Exploring the limits of deep
    image clustering using pretrained models, BMVC. Fewer heads, neighbours and steps than there, because families are small.
    """
    if k < 2:
        return np.zeros(len(points), int)
    random = torch.Generator().manual_seed(seed)
    values, n = torch.tensor(points, dtype=torch.float32), len(points)
    near = torch.tensor(_neighbors(points, min(n_neighbors, n - 1)))
    student = nn.Parameter(0.02 * torch.randn(n_heads, points.shape[1], k, generator=random))
    teacher, shares = student.detach().clone(), torch.full((n_heads, 1, k), 1 / k)
    optimizer = torch.optim.Adam([student], lr=1e-2)

    def clusters(rows, head):
        return F.softmax(torch.einsum("nd,hdk->hnk", values[rows], head) / temperature, dim=-1)

    def losses(one, other, power):
        return -((one * other) ** power / shares).sum(-1).clamp_min(1e-9).log()

    for _ in range(steps):
        rows = torch.randperm(n, generator=random)[:512]
        pairs = rows, near[rows, torch.randint(near.shape[1], (len(rows),), generator=random)]
        of_student = [clusters(part, student) for part in pairs]
        with torch.no_grad():
            of_teacher = [clusters(part, teacher) for part in pairs]
            shares = 0.9 * shares + 0.1 * torch.cat(of_teacher, 1).mean(1, keepdim=True)
            agreement = (of_teacher[0] * of_teacher[1]).sum(-1).mean(0)
        both = losses(of_student[0], of_teacher[1], beta) + losses(of_student[1], of_teacher[0], beta)
        optimizer.zero_grad()
        (agreement * both / 2).mean().backward()
        optimizer.step()
        with torch.no_grad():
            teacher.lerp_(student, 0.1)
    with torch.no_grad():
        found = clusters(slice(None), student)
        best = losses(found, found[:, near[:, 0]], 1).mean(1).argmin()
        return found[best].argmax(1).numpy()


def turtle(spaces, k, seed=0, steps=300, inner_steps=10, gamma=10.0, learning_rate=1e-2, length=3.0):
    """Labels (n,) of at most k clusters of points that several embeddings describe, a list of arrays (n, d) of length 1.

    Of all ways to label the points, those are looked for that linear classifiers learn best in every space; `gamma` weighs the
    entropy that keeps all clusters in use. Gadetsky, Jiang and Brbic (2024), Let go of your labels with unsupervised transfer,
    ICML. The classifiers carry on from step to step. Fewer steps at a higher rate than there, because families are small. The
    points are scaled to `length`: if they are long, a classifier soon learns any labels.
    """
    if k < 2:
        return np.zeros(len(spaces[0]), int)
    values = [torch.tensor(length * space, dtype=torch.float32) for space in spaces]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        labelers = [nn.utils.parametrizations.weight_norm(nn.Linear(space.shape[1], k)) for space in values]
        learners = [nn.Linear(space.shape[1], k) for space in values]
    outer = torch.optim.Adam(nn.ModuleList(labelers).parameters(), lr=learning_rate)
    inner = torch.optim.Adam(nn.ModuleList(learners).parameters(), lr=learning_rate)
    random = torch.Generator().manual_seed(seed)

    def labels(parts):
        return [F.softmax(labeler(part), dim=1) for labeler, part in zip(labelers, parts, strict=True)]

    for _ in range(steps):
        rows = torch.randperm(len(values[0]), generator=random)[:2000]
        parts = [space[rows] for space in values]
        each = labels(parts)
        target = torch.stack(each).mean(0)
        for _ in range(inner_steps):
            learned = zip(learners, parts, strict=True)
            inner.zero_grad()
            sum(F.cross_entropy(learner(part), target.detach()) for learner, part in learned).backward()
            inner.step()
        learned = zip(learners, parts, strict=True)
        misfit = sum(F.cross_entropy(learner(part).detach(), target) for learner, part in learned)
        entropy = sum(torch.special.entr(label.mean(0)).sum() for label in each)
        outer.zero_grad()
        (misfit - gamma * entropy).backward()
        outer.step()
    with torch.no_grad():
        return torch.stack(labels(values)).mean(0).argmax(1).numpy()


def _neighbors(points, n):
    """The n nearest neighbours (m, n) of every one of m points, without itself; identical points may stand for each other."""
    return NearestNeighbors(n_neighbors=n + 1).fit(points).kneighbors(points, return_distance=False)[:, 1:]


def neighbor_pairs(points, groups, n_neighbors=3):
    """Pairs (2, m) of rows: every point (n, d) with its nearest neighbours in its group. `groups` are arrays of rows."""
    pairs = []
    for rows in groups:
        if len(rows) > 1:
            near = rows[_neighbors(points[rows], min(n_neighbors, len(rows) - 1))]
            pairs.append(np.stack([np.repeat(rows, near.shape[1]), near.ravel()]))
    return np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), int)


def whiten_neighbors(points, groups, shrinkage=0.3):
    """Points (n, d) of length 1 in which differences between near neighbours are about as large in all directions.

    Near neighbours are mostly of one species, so what tells them apart is pose, light and other noise. This is within-class
    covariance normalisation (Hatch, Kajarekar and Stolcke 2006, Interspeech) with neighbours in the place of labels. All
    `groups`, arrays of rows, have a common covariance; `shrinkage` adds that share of its mean variance to every direction.
    """
    one, other = neighbor_pairs(points, groups)
    differences = points[one] - points[other]
    variances, directions = np.linalg.eigh(differences.T @ differences / max(len(differences), 1))
    variances = np.maximum(variances + shrinkage * variances.mean(), np.finfo(float).tiny)
    return normalize((points - points.mean(axis=0)) @ (directions / np.sqrt(variances)))


def contrast_neighbors(points, groups, within=True, seed=0, size=128, steps=300, temperature=0.2, dropout=0.5):
    """Points (n, size) of length 1, mapped so that near neighbours attract each other and all others repel each other.

    The loss is InfoNCE (van den Oord, Li and Vinyals 2018, arXiv:1807.03748) of neighbours in one of the `groups`, arrays of
    rows. With `within`, only points of the same group repel each other, as in coarse-to-fine contrastive learning.
    """
    one, other = neighbor_pairs(points, groups)
    if not len(one):
        return points
    group = torch.empty(len(points), dtype=torch.int64)
    for number, rows in enumerate(groups):
        group[rows] = number
    values, random = torch.tensor(points, dtype=torch.float32), torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mapped = nn.Linear(points.shape[1], size, bias=False)
        optimizer = torch.optim.AdamW(mapped.parameters(), lr=1e-3)
        for _ in range(steps):
            pairs = torch.randperm(len(one), generator=random)[:512]
            both = [values[torch.tensor(rows)[pairs]] for rows in (one, other)]
            both = [F.normalize(mapped(F.dropout(part, dropout)), dim=1) for part in both]
            logits = both[0] @ both[1].T / temperature
            if within:
                home = group[torch.tensor(one)[pairs]]
                logits = logits.masked_fill(home[:, None] != home, -1e9)
            optimizer.zero_grad()
            F.cross_entropy(logits, torch.arange(len(pairs))).backward()
            optimizer.step()
    with torch.no_grad():
        return F.normalize(mapped(values), dim=1).double().numpy()
