"""Where the package may read a value of the GPU, which makes the host wait for it, and why.

A name is a file of the package, or a file and a function in it. What reads anywhere else fails the tests that use the
fixture `gpu`. Decoding itself reads nothing (`tests/decoding/test_replay.py`): what is read once a batch is read before
it or after it.
"""

from __future__ import annotations

from pathlib import Path

LONGEST = "once a batch: its longest history decides the shapes of all that follows"
LEARNED = "once a step on windows: how many positions are learned decides the shape"
CANDIDATES = "once a batch where the candidates come in another tensor: whether they are the same"
GIVEN_ITEMS = "scores of given items, for ensembles and explanations: a digit that no item needs is not computed"
A_REQUEST = "once a request, when its lists are ready or an item is explained"

ALLOWED = {
    # training
    "training/meter.py": "mean losses once an epoch, and twice a second where a bar is drawn",
    "training/recbole_loop.py": "RecBole's own epoch looks at the loss of every step",
    "models/learned_positions.py": LEARNED,
    "backbones/decoder_only.py: training_pass": LEARNED,
    "models/generative_recommender.py: training_pass": LEARNED,
    "models/losses.py: batch_contrast": "once a step: how many different targets the batch has decides the shape",
    "models/unisrecpretrain.py: calculate_loss": "once a step: how many different targets the batch has",
    "models/specgrpp.py": "whether fine-tuning has begun, once a stage",
    "models/seen_rows.py": "which items are seen, once a model, or once a step of SpecGR++'s fine-tuning",
    "models/recformer.py": "how long the longest text is; transformers' Longformer reads 13 times a layer",
    # a batch of users
    "models/histories.py: longest": LONGEST,
    "models/generative_recommender.py: index": CANDIDATES,
    "models/parallel_recommender.py: candidate_items": CANDIDATES,
    "models/mostpop.py: best": CANDIDATES,
    "models/itemcocount.py: entries": "twice a batch: how many users the last items have, and how many items these",
    "decoding/left_out.py: alike_in_number": "once a batch that a search leaves items out for: how many they are",
    "decoding/unseen_mix.py: append_unseen": "once a batch: which candidates are unseen",
    "decoding/checks.py": "once a batch, after decoding: whether a score was NaN",
    "evaluation/ranking.py: rank_scores": "once a batch: whether a score is NaN, and where a list ends in a tie",
    "evaluation/ranking.py: check_ranked": "once a batch: whether the list is one",
    "training/shards.py": "once a batch: its ranks, which are kept on disk",
    # once an evaluation, a run, a catalogue
    "evaluation/collector.py: collected": "the ranks of all rows, once an evaluation",
    "training/steadiness.py": "how many lists came out otherwise, once a test phase",
    "training/listed_items.py: shares": "how many listed items were drafted, or are in histories, once an evaluation",
    "semantic_ids/prefix_index.py": "once a set of candidates: how many prefixes there are",
    "quick_start.py": "once a run: what is kept of each item",
    # given items
    "models/ranking.py: score_candidates": GIVEN_ITEMS,
    "decoding/token_likelihood.py: log_likelihood": GIVEN_ITEMS,
    "decoding/token_verification.py: log_likelihood": GIVEN_ITEMS,
    "decoding/prefix_store.py: place": GIVEN_ITEMS,
    "backbones/token_tree.py: __post_init__": GIVEN_ITEMS,
    # text and semantic ids, once a catalogue
    "text/sentence_encoder.py": "vectors of a batch of texts, which are kept on disk",
    "semantic_ids/tokenizers/rqvae.py": "its first codebooks are faiss's; losses, once an epoch; what was fitted",
    "semantic_ids/tokenizers/letter.py: start_epoch": "clusters of codes are made by the CPU, once an epoch",
    "semantic_ids/tokenizers/letter.py: diversity_loss": "which codes have mates; the CPU draws them",
    # serving
    "serving/recommender.py": A_REQUEST,
    "serving/request.py": A_REQUEST,
    "serving/explain.py": A_REQUEST,
    "models/generative_recommender.py: digits": A_REQUEST,
    "models/parallel_recommender.py: digits": A_REQUEST,
    "models/speculative_recommender.py: reasons": A_REQUEST,
    "serving/state.py": "once when items come or go",
}


def is_allowed(place: str) -> bool:
    """Of a place as `PretendedGpu.reads` has it. What a test itself reads is its own affair."""
    return Path(place).is_absolute() or any(place == name or place.startswith(f"{name}:") for name in ALLOWED)
