"""The evaluation on the valid phase, by which stages stop early and settings of inference are chosen."""

from __future__ import annotations

from recbole.data.dataloader import FullSortEvalDataLoader

from recbole_specgr.system.errors import UserError
from recbole_specgr.training.inductive_evaluation import InductiveEvaluation


class Validation(InductiveEvaluation):
    """Mixin over any RecBole trainer: its `valid_metric` after an evaluation, and when it validates."""

    def _valid_epoch(
        self, valid_data: FullSortEvalDataLoader, show_progress: bool = False
    ) -> tuple[float, dict[str, float]]:
        result = self.evaluate(valid_data, load_best_model=False, show_progress=show_progress)
        return self.score_of(result), result

    def score_of(self, result: dict[str, float]) -> float:
        """The valid_metric among the results of the valid phase. Raises UserError when it is not there."""
        if self.valid_metric not in result:
            empty = [key for key, value in result.items() if key.endswith("_count") and not value]
            why = f" (its {empty[0]} is 0)" if empty else ""
            raise UserError(
                f"[valid_metric: {self.config['valid_metric']}] is not among the results of the valid phase{why}: "
                f"{', '.join(result)}."
            )
        return result[self.valid_metric]

    def _validates(self, epoch: int, valid_data: FullSortEvalDataLoader | None) -> bool:
        """After every `eval_step` epochs, and after the last; never when it is 0."""
        return bool(valid_data) and self.eval_step > 0 and (epoch % self.eval_step == 0 or epoch == self.epochs)
