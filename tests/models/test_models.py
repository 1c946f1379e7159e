"""One case a registered model: what every model must do, and a test that no model goes without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from math import isfinite
from pathlib import Path
from threading import Event
from unittest import mock

import decoding_oracles as oracle
import pandas as pd
import pytest
import torch
from conftest import write_tiny_dataset
from operation_recorder import record_operations
from recbole.data.interaction import Interaction
from serving_oracles import assert_same_up_to_ties, forget_unseen
from tiny_runs import TINY_SPECGR, TINY_T5, lists, run

from recbole_specgr.backbones import T5, DecoderOnly
from recbole_specgr.decoding.left_out import among
from recbole_specgr.decoding.replay import Replay
from recbole_specgr.evaluation.ranking import check_ranked
from recbole_specgr.models.generative_recommender import GenerativeRecommender
from recbole_specgr.models.ranking import Ranker, rankable
from recbole_specgr.models.speculative_recommender import OF_PREFIXES
from recbole_specgr.quick_start import load_data_and_model
from recbole_specgr.runs.folder import read_config
from recbole_specgr.serving import Recommender
from recbole_specgr.serving.export import export_run, import_run
from recbole_specgr.settings.registry import list_models
from recbole_specgr.system.errors import UserError
from recbole_specgr.training import make_trainer
from recbole_specgr.training.staged import StagedTrainer

RECBOLE_MODELS = ("SASRec", "FDSA", "S3Rec")


def with_epochs(settings: dict, epochs: int) -> dict:
    """The settings with so many epochs a stage, also of parts."""
    changed = {key: with_epochs(value, epochs) if isinstance(value, dict) else value for key, value in settings.items()}
    return changed | ({"epochs": epochs} if "epochs" in changed else {})


@contextmanager
def interruption_in_the_second_epoch() -> Iterator[Event]:
    """Ctrl-C in the middle of the second epoch of whatever stage has one first; the event says whether it came."""
    came, step_done = Event(), StagedTrainer._step_done

    def interrupted(trainer, progress, options, steps, step):
        step_done(trainer, progress, options, steps, step)
        if progress.epoch == 1 and step == 5:
            came.set()
            raise KeyboardInterrupt

    with mock.patch.object(StagedTrainer, "_step_done", interrupted):
        yield came


class ModelCase:
    """Subclass it for each model; `settings` keep its run to seconds."""

    model: str
    settings: dict = {}
    recommends_new_items = False
    later_items_are_as_the_first = True
    is_trained = True
    has_ties = False  # items of equal digits have equal scores, and either may stand in the list

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory) -> Path:
        folder = tmp_path_factory.mktemp(cls.model)
        write_tiny_dataset(folder / "dataset")
        return folder

    @pytest.fixture(scope="class")
    @classmethod
    def trained(cls, folder) -> dict:
        return run(cls.model, folder, **cls.settings)

    def test_the_loss_falls(self, trained) -> None:
        for stage, training in trained["record"]["training"].items():
            losses = [epoch["loss"] for epoch in training["history"]]
            if self.is_trained:
                assert min(losses[1:]) < losses[0], stage
            else:
                assert not losses
                assert trained["record"]["parameters"]["total"] == 0

    def test_lists_are_valid(self, trained) -> None:
        ranked, _ = lists(trained["run_dir"])  # the evaluation itself refuses lists that are not
        _, _, _, train, _, test = load_data_and_model(trained["run_dir"])
        unseen = ~train._dataset.seen[ranked.clamp(min=0)] & (ranked > 0)
        assert (ranked[:, 0] > 0).all()
        assert bool(unseen.any()) == self.recommends_new_items
        assert ranked.shape == (len(test._dataset), 10)

    @torch.no_grad()
    def test_what_is_left_out_takes_no_place(self, trained) -> None:
        """Without anything to leave out the lists are the usual ones, whatever room there is for it. Of the user's
        history a list has nothing, and only a search with few beams may find nothing else in its place."""
        _, model, *_, test = load_data_and_model(trained["run_dir"])
        view, k = test._dataset, 10
        model.eval()
        batch = view[torch.arange(len(view))]
        history, candidates = batch["item_id_list"], rankable(model, view.candidates, view.seen)
        usual = model.rank_users(model.encode_users(batch), k, candidates)
        same = model.rank_without(model.encode_users(batch), k, candidates, torch.zeros_like(history))
        torch.testing.assert_close(same.scores, usual.scores, equal_nan=True)
        if not self.has_ties:
            assert torch.equal(same.items, usual.items)
        without = model.rank_without(model.encode_users(batch), k, candidates, history)
        assert not among(without.items, history).any() and without.items.shape == usual.items.shape
        others = (usual.items > 0) & ~among(usual.items, history)
        assert ((without.items > 0).sum(1) >= others.sum(1)).all()

    def test_a_loaded_run_gives_the_same_lists_and_metrics(self, trained) -> None:
        first, result = lists(trained["run_dir"])
        again, _ = lists(trained["run_dir"])
        assert torch.equal(first, again)
        assert result == pytest.approx(trained["test_result"])

    def test_an_explanation_knows_the_place_and_the_score(self, trained) -> None:
        recommender = Recommender.load(trained["run_dir"], device="cpu")
        history = ["i3", "i14", "i15"]
        for place, entry in enumerate(recommender.recommend([history], 10)[0], 1):
            why = recommender.explain(history, entry.item, 10)
            assert why.place == place and why.candidates >= 10
            assert why.score is None or entry.score != entry.score or why.score == pytest.approx(entry.score, abs=1e-6)

    def test_lists_do_not_depend_on_the_batch(self, trained) -> None:
        recommender = Recommender.load(trained["run_dir"], device="cpu")
        histories = [[f"i{(user * step) % 80}" for step in range(1, 2 + user % 7)] for user in range(1, 9)]
        together = recommender.recommend(histories, 10)
        for user, history in enumerate(histories):
            assert recommender.recommend([history], 10).items == [together.items[user]]

    def test_items_can_arrive_later(self, trained, folder) -> None:
        recommender = Recommender.load(trained["run_dir"], device="cpu")
        table = pd.read_csv(folder / "dataset" / "tiny" / "tiny.item", sep="\t", dtype=str)
        if not self.recommends_new_items:
            with pytest.raises(UserError, match="can't take new items"):
                recommender.add_items(table.head(1).assign(**{"item_id:token": "another"}))
            return
        histories = [[f"i{user}", f"i{user + 3}", f"i{user + 40}"] for user in range(30)]
        ranked = recommender.catalogue.item_tokens[recommender.catalogue.candidates.numpy()]
        before = recommender.recommend(histories, 10)
        unseen = forget_unseen(recommender)
        assert not {item for items in recommender.recommend(histories, 10).items for item in items} & set(unseen)
        recommender.add_items(table.set_index("item_id:token").loc[unseen].reset_index())
        after = recommender.recommend(histories, 10, candidates=ranked)  # the data has items that nobody used, too
        if self.later_items_are_as_the_first:
            assert_same_up_to_ties(before, after)
        else:
            assert {item for items in after.items for item in items} & set(unseen)

    # -- on a GPU; the fixture sees that no tensor is on another device and no value is read without a reason ----------

    def test_a_gpu_trains_it_in_both_precisions(self, folder, gpu) -> None:
        losses = {}
        for precision in ("fp32", "bf16"):
            settings = {**with_epochs(self.settings, 1), "use_gpu": True, "precision": precision}
            trained = run(self.model, folder, **settings)
            assert trained["record"]["hardware"]["device"] != "cpu"
            assert all(isfinite(value) for value in trained["test_result"].values())
            losses[precision] = [
                epoch["loss"] for stage in trained["record"]["training"].values() for epoch in stage["history"]
            ]
        assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)

    def test_a_gpu_ranks_as_the_cpu_does(self, trained, gpu) -> None:
        ranked = []
        for use_gpu in (False, True):
            config, model, _, _, _, test = load_data_and_model(trained["run_dir"], {"use_gpu": use_gpu})
            trainer = make_trainer(config, model)
            metrics = trainer.evaluate(test, load_best_model=False)
            batch, candidates = next(iter(test))[0].to(config["device"]), test._dataset.candidates.to(config["device"])
            items = trainer.rows["rec.items"][: len(batch)].long()
            scores = trainer.ranker(test._dataset).score_items(batch, items.to(config["device"]), candidates)
            ranked.append((trainer.rows["rec.items"], metrics, scores))
        (expected, metrics, scores), (found, theirs, on_gpu) = ranked
        # Items whose scores round to the other side of each other's, or of SpecGR's threshold, change places.
        assert (expected[:, :, None] == found[:, None, :]).any(2).float().mean() > 0.98
        assert theirs == pytest.approx(metrics, abs=0.02)
        if scores is not None:
            assert on_gpu.device.type == "cuda"
            torch.testing.assert_close(on_gpu.cpu(), scores, rtol=0, atol=gpu.tolerance)

    def test_a_gpu_serves_as_the_cpu_does(self, trained, folder, gpu) -> None:
        histories = [[f"i{user}", f"i{user + 3}", f"i{user + 40}"] for user in range(30)]
        table = pd.read_csv(folder / "dataset" / "tiny" / "tiny.item", sep="\t", dtype=str)
        served = []
        for device in ("cpu", "cuda"):
            recommender = Recommender.load(trained["run_dir"], device=device)
            if self.recommends_new_items:
                recommender.add_items(table.head(3).assign(**{"item_id:token": ["n1", "n2", "n3"]}))
                recommender.remove_items(["n2"])
            lists = recommender.recommend(histories, 10)
            without = recommender.recommend(histories, 10, exclude="history")
            why = [recommender.explain(histories[0], item, 10) for item in lists.items[0][:3]]
            served.append((lists, without, why))
        (expected, shorter, reasons), (found, also_shorter, theirs) = served
        assert_same_up_to_ties(expected, found, gpu.tolerance)
        assert_same_up_to_ties(shorter, also_shorter, gpu.tolerance)
        assert [why.place for why in theirs] == [why.place for why in reasons]
        assert [len(why.digits) for why in theirs] == [len(why.digits) for why in reasons]

    def test_a_gpu_goes_on_where_it_was_interrupted(self, folder, gpu) -> None:
        settings = {**with_epochs(self.settings, 2), "use_gpu": True, "seed": 7}
        whole = run(self.model, folder, **settings)
        with interruption_in_the_second_epoch() as interrupted, suppress(KeyboardInterrupt):
            run(self.model, folder, **settings, checkpoint_steps=3)
        assert interrupted.is_set() == self.is_trained
        again = run(
            self.model, folder, **settings, checkpoint_steps=3, **({"resume": "auto"} if self.is_trained else {})
        )
        for stage, training in whole["record"]["training"].items():
            losses = [epoch["loss"] for epoch in training["history"]]
            resumed = [epoch["loss"] for epoch in again["record"]["training"][stage]["history"]]
            assert resumed == (pytest.approx(losses, rel=0.02) if gpu.is_real else losses), stage

    def test_a_seed_decides_everything(self, trained, folder) -> None:
        again = run(self.model, folder, **self.settings)
        for stage, training in trained["record"]["training"].items():
            losses = [epoch["loss"] for epoch in training["history"]]
            assert losses == [epoch["loss"] for epoch in again["record"]["training"][stage]["history"]]
        assert again["test_result"] == trained["test_result"]


class RecBoleCase(ModelCase):
    settings = {
        "epochs": 3,
        "train_batch_size": 64,
        "hidden_size": 16,
        "inner_size": 16,
        "n_layers": 1,
        "n_heads": 2,
        "MAX_ITEM_LIST_LENGTH": 10,
    }


class TestSASRec(RecBoleCase):
    model = "SASRec"


class TestFDSA(RecBoleCase):
    model = "FDSA"


class TestS3Rec(RecBoleCase):
    model = "S3Rec"


class GenerativeCase(ModelCase):
    settings = TINY_T5
    recommends_new_items = True  # it can; how well it does is another question

    @torch.no_grad()
    def test_lists_in_bfloat16_are_valid_and_nearly_the_same(self, trained) -> None:
        ranked = []
        for precision in ("fp32", "bf16"):
            _, model, _, _, _, test = load_data_and_model(trained["run_dir"], {"decoding_precision": precision})
            backbone = next(module for module in model.modules() if isinstance(module, T5 | DecoderOnly))
            assert (backbone.decoding_dtype == torch.bfloat16) == (precision == "bf16")
            batch, candidates = next(iter(test))[0], test._dataset.candidates
            ranked.append(model.eval().full_sort_topk(batch, 10, candidates))
            check_ranked(ranked[-1], len(batch), 10, candidates)
        found = (ranked[0][:, :, None] == ranked[1][:, None, :]).any(2)
        assert found.float().mean() > 0.9

    @torch.no_grad()
    def test_a_gpu_ranks_nearly_the_same_in_bfloat16_and_the_same_by_cuda_graphs(self, trained, gpu) -> None:
        def ranked(**settings) -> torch.Tensor:
            config, model, _, _, _, test = load_data_and_model(trained["run_dir"], {"use_gpu": True, **settings})
            batch, candidates = next(iter(test))[0], test._dataset.candidates.to(config["device"])
            users = batch[: len(batch) // 2].to(config["device"])
            for _ in range(3 if gpu.is_real else 1):  # the second time it is recorded, the third replayed
                found = model.eval().full_sort_topk(users, 10, candidates)
            check_ranked(found, len(users), 10, candidates)
            return found.cpu()

        expected, in_bfloat16 = ranked(), ranked(decoding_precision="bf16")
        assert (expected[:, :, None] == in_bfloat16[:, None, :]).any(2).float().mean() > 0.9
        if not gpu.is_real:
            return  # CUDA graphs are CUDA's; the next test records without a GPU
        assert (ranked(cuda_graphs=True) == expected).all(1).float().mean() > 0.9

    @torch.no_grad()
    def test_replayed_decoding_gives_the_same_lists(self, trained) -> None:
        _, model, _, _, _, test = load_data_and_model(trained["run_dir"])
        model = model.double().eval()
        batch, candidates = next(iter(test))[0], test._dataset.candidates
        half = len(batch) // 2
        halves = [batch[:half], batch[half : 2 * half]]
        expected = [model.full_sort_topk(users, 10, candidates) for users in halves]
        generative = next(module for module in model.modules() if isinstance(module, GenerativeRecommender))
        generative.replay = Replay(record_operations)
        for users, ranked in zip((halves[0], *halves), (expected[0], *expected), strict=True):
            assert torch.equal(model.full_sort_topk(users, 10, candidates), ranked)
        (kept,) = generative.replay.recordings.values()
        assert kept[0] is not None
        model.eval()
        assert generative.replay.recordings
        model.train()  # wants their memory
        assert not generative.replay.recordings


class TestTIGER(GenerativeCase):
    model = "TIGER"

    def test_an_unknown_precision_is_named(self, folder) -> None:
        with pytest.raises(UserError, match=r"\[decoding_precision\] must be .*fp32, bf16, auto, but is \[fp8\]"):
            run(self.model, folder, decoding_precision="fp8")


class TestTIGER_C(GenerativeCase):
    model = "TIGER_C"

    @torch.no_grad()
    def test_new_items_have_their_share_whatever_is_left_out(self, trained) -> None:
        """The list without the history is composed of what is left of it, and not cut off at its end."""
        _, model, *_, test = load_data_and_model(trained["run_dir"], {"repeatable": False})
        view, k = test._dataset, 10
        model.eval().decoding["epsilon"] = 0.5
        batch, candidates = view[torch.arange(len(view))], view.candidates
        history = batch["earlier_item_id_list"]
        found = Ranker(model, view.seen, "keep", repeatable=False).rank(batch, k, candidates)
        generated = model.generate(model.encode_users(batch), k, candidates, history).items
        items = candidates.nonzero().squeeze(1).tolist()
        for row, left_out in enumerate(history.tolist()):
            stays = [item for item in generated[row].tolist() if item > 0 and item not in left_out][:k]
            listed = stays + [-1] * (k - len(stays))
            expected = oracle.tiger_c(listed, model.tokens, items, ~view.seen, k // 2, left_out)
            assert found.items[row].tolist() == expected
        assert found.scores.isnan().any()


class TestDSI(GenerativeCase):
    model = "DSI"
    settings = {**TINY_T5, "tokenizer": {"codebook_size": 8, "levels": 2}}


class TestLIGER(GenerativeCase):
    model = "LIGER"
    settings = {**TINY_T5, "projection_sizes": [16], "embedding_dropout": 0.1, "learning_rate": 0.003}

    def test_it_is_not_built_on_a_decoder_alone(self, folder) -> None:
        with pytest.raises(UserError, match=r"LIGER can't be built on it. Take --architecture=encoder_decoder"):
            run(self.model, folder, **self.settings, architecture="decoder_only")


@torch.no_grad()
def assert_pool_drafts_what_all_scores_draft(path: str | Path) -> tuple:
    """A pool of all items changes no list; a small one still gives candidates. Returns the model, a batch and these."""
    _, model, _, _, _, test = load_data_and_model(path)
    model = model.double().eval()
    batch, candidates = next(iter(test))[0], test._dataset.candidates
    expected = model.full_sort_topk(batch, 20, candidates)
    model.draft_pool_size = model.n_items
    assert torch.equal(model.full_sort_topk(batch, 20, candidates), expected)
    model.draft_pool_size = 15  # more than is drafted in the first round, fewer than in all
    lists = model.full_sort_topk(batch, 20, candidates)
    assert candidates[lists[lists >= 0]].all()
    return model, batch, candidates


class TestSpecGRPP(GenerativeCase):
    model = "SpecGRPP"
    settings = TINY_SPECGR

    def test_fine_tuning_leaves_the_item_vectors_and_moves_the_encoder(self, trained) -> None:
        run_dir = Path(trained["run_dir"])
        pretrained = load_data_and_model(run_dir / "pretrain.pth")[1]
        finetuned = load_data_and_model(run_dir / "finetune.pth")[1]
        assert not pretrained.items_frozen
        assert finetuned.items_frozen
        torch.testing.assert_close(pretrained.eval().item_vectors(), finetuned.eval().item_vectors())
        assert not torch.equal(pretrained.backbone.embedding.weight, finetuned.backbone.embedding.weight)

    def test_an_exact_pool_of_all_items_drafts_what_the_matrix_product_drafts(self, trained) -> None:
        model, batch, candidates = assert_pool_drafts_what_all_scores_draft(Path(trained["run_dir"]) / "finetune.pth")
        model.draft_index = "no such index"
        model._nearest = None
        with torch.no_grad(), pytest.raises(UserError, match="no such index"):
            model.full_sort_topk(batch, 20, candidates)

    def test_settings_of_acceptance_share_the_rounds_of_a_batch(self, trained) -> None:
        config, model, *_, test = load_data_and_model(trained["run_dir"])
        ranker = make_trainer(config, model.eval()).ranker(test._dataset)
        batch, candidates = next(iter(test))[0], test._dataset.candidates
        tried = {
            "draft_size": [5, 20],
            "accept_threshold": [-3.0, -2.5],
            "reranking": [True, False],
            "adaptive_exit": [True, False],
            "drafter_weight": [0.0, 4.0],
            "order": ["merged", "accepted_first"],
        }
        points = [dict(zip(tried, values)) for values in product(*tried.values())]
        with mock.patch.object(model, "all_rounds", wraps=model.all_rounds) as rounds:
            together = [ranked.items for ranked in ranker.rank_at(points, batch, 10, candidates)]
        assert rounds.call_count == len(tried["draft_size"])
        for point, items in zip(points, together, strict=True):
            model.change_decoding(point)
            assert torch.equal(items, ranker.rank(batch, 10, candidates).items), point


class TestSpecGR_Aux(GenerativeCase):
    model = "SpecGR_Aux"
    settings = {
        **TINY_T5,
        "drafter_settings": {
            "epochs": 3,
            "train_batch_size": 64,
            "hidden_size": 16,
            "inner_size": 16,
            "n_layers": 1,
        },
        "draft_size": 10,
        "accept_threshold": -3.0,
    }

    def test_a_pool_of_all_items_drafts_what_all_scores_draft(self, trained) -> None:
        assert_pool_drafts_what_all_scores_draft(trained["run_dir"])


DECODER_ONLY = {"architecture": "decoder_only"}


class TestDecoderOnlyTIGER(TestTIGER):
    settings = {**TestTIGER.settings, **DECODER_ONLY}

    def test_it_is_trained_on_windows_where_nothing_else_is_said(self, trained, folder) -> None:
        assert read_config(Path(trained["run_dir"]))["train_on"] == "windows"
        rows = run(self.model, folder, **self.settings, train_on="rows")
        assert read_config(Path(rows["run_dir"]))["train_on"] == "rows"
        losses = [epoch["loss"] for epoch in rows["record"]["training"]["train"]["history"]]
        assert losses[-1] < losses[0]

    @pytest.mark.parametrize("other", [{"architecture": "encoder_decoder"}, {"architecture": "encoder"}])
    def test_another_architecture_than_the_runs_is_refused(self, trained, other) -> None:
        message = (
            r"backbone is \[architecture: decoder_only\]|must be encoder_decoder or decoder_only, but is \[encoder\]"
        )
        with pytest.raises(UserError, match=message):
            load_data_and_model(trained["run_dir"], other)

    @torch.no_grad()
    def test_it_goes_to_transformers_and_comes_back(self, trained, tmp_path) -> None:
        from transformers import LlamaForCausalLM

        run_dir = Path(trained["run_dir"])
        export_run(run_dir, tmp_path / "out")
        assert "LlamaForCausalLM.from_pretrained" in (tmp_path / "out" / "README.md").read_text()
        _, model, *_ = load_data_and_model(run_dir)
        model.eval()
        stream = model.history_ids(torch.tensor([[1, 2, 3]]), torch.tensor([3]))
        logits = LlamaForCausalLM.from_pretrained(tmp_path / "out").eval()(input_ids=stream).logits[:, -1:]
        ours = model.backbone.decode(model.backbone.encode(stream), stream, model.tokens[[6]])[:, :1]
        torch.testing.assert_close(ours, logits, atol=1e-5, rtol=1e-4)
        import_run(tmp_path / "out", tmp_path / "back")
        histories = [["i3", "i14", "i15"], ["i9"]]
        expected, again = (
            Recommender.load(folder, device="cpu").recommend(histories, 10) for folder in (run_dir, tmp_path / "back")
        )
        assert again.items == expected.items


class TestDecoderOnlyTIGER_C(TestTIGER_C):
    settings = {**TestTIGER_C.settings, **DECODER_ONLY}


class TestDecoderOnlyDSI(TestDSI):
    settings = {**TestDSI.settings, **DECODER_ONLY}


class TestDecoderOnlySpecGRPP(TestSpecGRPP):
    settings = {**TestSpecGRPP.settings, **DECODER_ONLY}

    @torch.no_grad()
    def test_windows_and_rows_of_the_same_targets_have_the_same_losses(self, trained) -> None:
        """Of windows that learn one target or two, and of rows with the same histories. Targets of one user are no
        negatives of each other, so the windows of one user alone have nothing to contrast."""
        _, model, *_ = load_data_and_model(trained["run_dir"])
        model = model.double().eval()
        items, length, targets = torch.tensor([[3, 4, 0], [3, 4, 5]]), torch.tensor([2, 3]), torch.tensor([5, 6])
        rows = Interaction({"item_id_list": items, "item_length": length, "item_id": targets})
        of_one = {"user_id": [7], "item_id_list": items[1:], "item_length": [3], "item_id": [[0, 5, 6]]}
        of_two = {"user_id": [7, 8], "item_id_list": items, "item_length": length, "item_id": [[0, 5, 0], [0, 0, 6]]}
        for stage in ("pretrain", "finetune"):
            model.start_stage(stage)
            expected = model.calculate_loss(rows)
            for windows, contrasted in ((of_one, False), (of_two, True)):
                losses = model.calculate_loss(
                    Interaction({name: torch.as_tensor(value) for name, value in windows.items()})
                )
                assert losses.keys() == expected.keys() and len(losses) == 2
                for name, loss in losses.items():
                    nothing = name == "contrastive" and not contrasted
                    torch.testing.assert_close(loss, torch.zeros_like(loss) if nothing else expected[name])


class TestDecoderOnlySpecGR_Aux(TestSpecGR_Aux):
    settings = {**TestSpecGR_Aux.settings, **DECODER_ONLY}


class TextSequenceCase(ModelCase):
    settings = {
        "epochs": 4,
        "train_batch_size": 64,
        "hidden_size": 16,
        "inner_size": 16,
        "n_layers": 1,
        "MAX_ITEM_LIST_LENGTH": 10,
    }
    recommends_new_items = True


class TestRPG(ModelCase):
    model = "RPG"
    settings = {
        "epochs": 4,
        "train_batch_size": 64,
        "hidden_size": 16,
        "inner_size": 16,
        "n_layers": 1,
        "n_heads": 2,
        "MAX_ITEM_LIST_LENGTH": 10,
        "tokenizer": {"codebook_size": 8, "levels": 8},
        "unseen_bonus": 0.3,
    }
    recommends_new_items = True

    def test_what_is_read_is_the_sum_of_the_digits(self, trained) -> None:
        _, model, *_, test = load_data_and_model(trained["run_dir"])
        model.eval()
        batch = next(iter(test))[0]
        items, length = batch["item_id_list"], batch["item_length"]
        read = model.read(batch)
        for row in range(8):
            digits = [model.digit_embedding[range(8), model.codes[item]] for item in items[row, : length[row]]]
            x = torch.stack(digits).sum(1) + model.transformer.positions[: length[row]]
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
            x = x * model.transformer.input_norm.weight + model.transformer.input_norm.bias
            for layer in model.transformer.layers:
                x = layer(x[None])[0]
            log_probs = model.heads(model.transformer.norm(x[-1:]), model.digit_embedding)[:, 0].log_softmax(-1)
            torch.testing.assert_close(read.log_probs[row], log_probs)


class TestSpecGRPP_RPG(ModelCase):
    model = "SpecGRPP_RPG"
    has_ties = True
    settings = {
        **TestRPG.settings,
        "map_size": 16,
        "draft_size": 10,
        "accept_threshold": -2.2,
        "unseen_bonus": 0.0,
        "tune": None,
    }
    recommends_new_items = True

    def test_drafts_are_the_nearest_by_text_and_verified_digit_by_digit(self, trained) -> None:
        _, model, *_, test = load_data_and_model(trained["run_dir"])
        model.eval()
        model.decoding.update(accept_threshold=-99.0, draft_size=10)
        batch, candidates = next(iter(test))[0], test._dataset.candidates
        items, length = batch["item_id_list"], batch["item_length"]
        mapped = model.item_map(model.features)
        for row in range(8):
            history = items[row, : length[row]]
            read = torch.stack([model.digit_embedding[range(8), model.codes[item]].mean(0) for item in history])
            state = model.transformer((read + mapped[history])[None])[0, -1]
            cosines = torch.nn.functional.cosine_similarity(state[None], mapped)
            drafts = cosines.masked_fill(~candidates, -9).topk(10).indices
            log_probs = model.heads(state[None], model.digit_embedding)[:, 0].log_softmax(-1)
            scores = log_probs[range(8), model.codes[drafts]].mean(1)
            result = model.speculate(batch[[row]], 10, candidates)
            assert set(result.items[0].tolist()) == set(drafts.tolist())
            torch.testing.assert_close(result.scores[0], scores.sort(descending=True)[0])

    def test_the_same_lists_without_the_scores_of_all_items(self, trained) -> None:
        _, model, *_, test = load_data_and_model(trained["run_dir"])
        batch, candidates = next(iter(test))[0], test._dataset.candidates
        wanted = model.eval().speculate(batch, 10, candidates)
        model.draft_pool_size = model.decoding["draft_size"]
        found = model.speculate(batch, 10, candidates)
        assert model.encode_users(batch).draft_scores is None
        assert torch.equal(found.items, wanted.items) and torch.equal(found.accepted, wanted.accepted)
        steps, users = model.ranking_steps(10, candidates), None  # what is timed is what ranks
        for name in ("encode", "draft"):
            users = steps[name](batch, users)
        assert users.draft_scores is None
        assert torch.equal(steps["verify"](batch, users).items, wanted.items)


class TestSpecGR_AuxOnRPG(ModelCase):
    model = "SpecGR_Aux"
    has_ties = True
    settings = {
        **TestRPG.settings,
        "backbone": "RPG",
        "drafter_settings": {
            "epochs": 3,
            "train_batch_size": 64,
            "hidden_size": 16,
            "inner_size": 16,
            "n_layers": 1,
        },
        "draft_size": 10,
        "accept_threshold": -2.2,
        "drafter_weight": 0.5,
        "order": "accepted_first",
        "tune": None,
    }
    recommends_new_items = True

    def test_drafts_are_accepted_and_rejected(self, trained) -> None:
        _, model, *_, test = load_data_and_model(trained["run_dir"])
        batch, candidates = next(iter(test))[0], test._dataset.candidates
        result = model.eval().speculate(batch, 10, candidates)
        assert 0 < result.accepted.sum() < result.drafted.sum()
        assert (result.rounds == 1).all()
        assert "draft_size" in model.decoding and not model.decoding.keys() & set(OF_PREFIXES)


class TestUniSRec(TextSequenceCase):
    model = "UniSRec"


class TestUniSRecPretrain(TextSequenceCase):
    model = "UniSRecPretrain"


class TestSASRec_T(TextSequenceCase):
    model = "SASRec_T"


class TestTextSASRec(TextSequenceCase):
    model = "TextSASRec"


HSTU = {
    "epochs": 4,
    "train_batch_size": 64,
    "hidden_size": 16,
    "n_layers": 1,
    "n_heads": 2,
    "MAX_ITEM_LIST_LENGTH": 10,
}


class TestHSTU(ModelCase):
    model = "HSTU"
    settings = {**HSTU, "learning_rate": 0.01, "n_negatives": 20}


class TestTextHSTU(ModelCase):
    model = "TextHSTU"
    settings = {**HSTU, "map_size": 8, "temperature": 0.2}  # scores of a few, compared to 1e-6 and kept as float32
    recommends_new_items = True


class TestRecformer(ModelCase):
    model = "Recformer"
    settings = {
        "epochs": 3,
        "train_batch_size": 64,
        "warmup_steps": 0,
        "learning_rate": 0.005,
        "vocab_size": 400,
        "hidden_size": 16,
        "inner_size": 16,
        "n_layers": 1,
        "max_attribute_length": 6,
        "max_tokens": 64,
        "attention_window": 16,
        "MAX_ITEM_LIST_LENGTH": 10,
    }
    recommends_new_items = True
    later_items_are_as_the_first = False  # they are read by a language model that has learned on


class TestEnsemble(ModelCase):
    model = "Ensemble"
    settings = {
        "first_settings": {
            key: value for key, value in TextSequenceCase.settings.items() if key != "MAX_ITEM_LIST_LENGTH"
        },
        "second_settings": {
            key: value for key, value in GenerativeCase.settings.items() if key != "MAX_ITEM_LIST_LENGTH"
        },
        "MAX_ITEM_LIST_LENGTH": 10,
        "list_length": 20,
    }
    recommends_new_items = True


class TrainingFreeCase(ModelCase):
    is_trained = False


class TestSemanticKNN(TrainingFreeCase):
    model = "SemanticKNN"
    recommends_new_items = True


class TestMostPop(TrainingFreeCase):
    model = "MostPop"


class TestRecentPop(TrainingFreeCase):
    model = "RecentPop"


class TestItemCoCount(TrainingFreeCase):
    model = "ItemCoCount"


def test_every_registered_model_has_a_case() -> None:
    cases, found = [ModelCase], set()
    while cases:
        case = cases.pop()
        cases += case.__subclasses__()
        found.add(getattr(case, "model", None))
    missing = {*list_models()["recbole_specgr"], *RECBOLE_MODELS} - found
    assert not missing, f"these models have no case in {Path(__file__).name}: {sorted(missing)}"
