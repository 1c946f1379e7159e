"""Ranked lists -> overall / in-sample / unseen metrics."""

from recbole_specgr.evaluation.collector import RankCollector
from recbole_specgr.evaluation.evaluator import SubsetEvaluator
from recbole_specgr.evaluation.ranking import check_ranked, check_topk, rank_scores

__all__ = ["RankCollector", "SubsetEvaluator", "check_ranked", "check_topk", "rank_scores"]
