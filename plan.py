"""The makefile of the chapters: which chapter needs which files, written out for one call of make.

    python plan.py rules --goals "all" DATASET=eu_moths SOURCE=~/moths    # writes the makefile and prints its name
    python plan.py settings DATASET=eu_moths                              # prints the settings that would be used
    python plan.py clean DATASET=eu_moths                                 # removes what the chapters wrote
    python plan.py nearest DATASTE DATASET SOURCE ...                     # suggests a name for a misspelt variable

All settings are checked before anything is written (settings.py). The Makefile calls this at every start, so nothing that
takes long to import is imported.
"""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a traceback

import argparse
import contextlib
import hashlib
import itertools
import os
import shlex
import sys
import time

import listing
from clean import clean, plans_of
from files import atomic_write, one_line
from parameters import (
    ROOT,
    check_parameters,
    config_names,
    declared_parameters,
    is_plain_name,
    load_params,
    load_yaml,
    parse_assignments,
    suggestion,
)
from rules import Rule, clusterers_of, imported, make_list, must_run_again, shard_lost
from settings import NO_NETWORK, TRAINING_CHAPTER, BadSetting, Settings, as_path, check_start, networks, parse_settings
from sweeps import load_sweep, own_parameters, sweep_points

# what `make report` draws
REPORTED = (
    "choosing.png", "robustness.png", "taxa.png", "trees.csv", "map_quality.png", "k_rules.png", "stress.png", "effort.png",
    "ami_by_k.png", "probes.png", "heads.png",
)  # fmt: skip
SWEEP_REPORTS = {  # chapter of the points of a sweep: chapter that reports them; a sweep of another chapter has no report
    TRAINING_CHAPTER: "97_sweep_training",
    "04_umap_visualization": "96_sweep_maps",
    "05_hierarchical_clustering": "98_sweep_clusters",
    "09_recoverability": "95_sweep_recoverability",
}
WORLD_FIGURES = ("tree.png", "barcode_gap.png", "specimens.jpg")
PLANS_KEPT = 10
ATLAS_FILES = [f"atlas/{name}" for name in ("page.html", "atlas.css", "model.js", "views.js", "main.js")]


def dated_in_future(path):
    """Whether a file below the project has a later date than now, by more than a file server's clock may differ.

    make would not see later changes of what such a file was made from, or run what depends on it again and again.
    """
    try:
        return (ROOT / path).stat().st_mtime > time.time() + 60
    except OSError:
        return False


class Plan:
    """All rules of one dataset."""

    def __init__(self, settings, goals):
        self.settings, self.goals = settings, goals
        self.data, self.figures = settings.data, settings.figures
        self.rules, self.phony = [], {}
        self._photographs()
        self._encoders()
        self._clusters_and_scores()
        self._barcodes()
        self._report()
        if settings.sweep:
            self._sweep()
        if self.reaches(f"{self.data}/metadata.parquet") and not self.has_photographs():
            raise BadSetting(
                f"{self.data}/photos is missing: name the folder, make all DATASET={settings.dataset} SOURCE=<folder>"
            )

    def chapter(
        self, name, writes, needs, arguments=(), configs=(), label="", *,
        run="", own=None, options=(), covering=(), force=False, then=(),
    ):  # fmt: skip
        """Add the rule of one chapter.

        writes, needs: the files that the chapter writes, and those it needs besides its code
        arguments, configs: its parameters as "name=value", and as YAML files
        label: part of the name of the executed notebook, for a chapter with several runs; or `run` is its whole path
        own, options: parameters that execute.py computes itself, and its options
        covering: see must_run_again
        force: run it whatever the dates are
        then: shell commands to run after it
        """
        notebook = f"notebooks/{name}.py"
        run = run or f"{self.data}/runs/{name}{f'-{label}' if label else ''}.ipynb"
        declared = declared_parameters(name)
        arguments = [f"dataset={self.settings.dataset}", *arguments]
        parameters = dict(check_parameters(own or {}, declared, f"params/sweeps/{self.settings.sweep}.yaml"))
        existing = [config for config in configs if (ROOT / config).is_file()]
        for config in existing:
            parameters |= check_parameters(load_yaml(config), declared, config)
        parameters |= check_parameters(parse_assignments(arguments, declared), declared, "command line")
        # as long as a config is missing, its parameters cannot be compared with those of the last run
        comparable = len(existing) == len(configs)
        again = force or (comparable and must_run_again(run, parameters, writes, covering))
        sources = [notebook, *imported(notebook), *clusterers_of(notebook), *existing]
        for source in filter(dated_in_future, sources):
            with contextlib.suppress(OSError):  # a project that may not be changed
                os.utime(ROOT / source)
                print(f"{source} was dated in the future, and has the present date now", file=sys.stderr)
        again = again or any(map(dated_in_future, (run, *writes)))
        needs = [*dict.fromkeys([*sources, *configs]), *needs, *(["FORCE"] if again else [])]
        command = [notebook, run, *arguments, *options, *(part for config in configs for part in ("-f", config))]
        command += [part for file in writes for part in ("-w", file)]
        quoted = shlex.join(map(str, command)).replace("$", "$$")
        self.rules.append(Rule(run, writes, list(dict.fromkeys(needs)), [f"$(RUN) {quoted}", *then]))

    # ---- photographs, encoders

    def has_photographs(self):
        """Whether there is a folder of photographs, or chapter 01 has read one before."""
        settings = self.settings
        made = ROOT / self.data / "metadata.parquet"
        return settings.world or settings.source or (ROOT / self.data / "photos").is_dir() or made.is_file()

    def photographs_changed(self):
        """Whether the photographs changed since chapter 01 read them. If their folder is gone, its table stays valid."""
        photos, seen = ROOT / self.data / "photos", ROOT / self.data / "photos.seen"
        if not photos.is_dir() or not (ROOT / self.data / "metadata.parquet").is_file():
            return False
        return not seen.is_file() or seen.read_text(errors="replace").strip() != listing.digest(photos)

    def _photographs(self):
        settings, data, figures = self.settings, self.data, self.figures
        made = []
        if settings.world:
            made = [f"{data}/truth.parquet", f"{data}/photos/metadata.csv"]
            drawn = [f"{figures}/{name}" for name in WORLD_FIGURES]
            targets = [*made, f"{data}/tree.nwk", *drawn]
            self.chapter("00_simulate_specimens", targets, [], configs=[settings.world])
        names = ("metadata.parquet", "rejected.csv", "reported.csv", "photos.seen")
        self.chapter(
            "01_preprocess",
            [*(f"{data}/{name}" for name in names), f"{figures}/family_sizes.png"],
            made,
            [f"source={settings.source}", f"csv={settings.csv}", f"labels={settings.labels}"],
            force=self.photographs_changed(),
            options=settings.to_store("source", "csv", "labels"),
        )

    def weights_for(self, encoders):
        """The argument `weights_dir` of a chapter, and options that store WEIGHTS if one of its encoders reads weights."""
        if not self._reads_weights(encoders):
            return ["weights_dir="], []
        return [f"weights_dir={self.settings.weights}"], self.settings.to_store("weights")

    @staticmethod
    def _reads_weights(encoders):
        """Whether an encoder, or a part of a fused one, has pretrained weights from a hub or from WEIGHTS."""
        seen, pending = set(), list(encoders)
        while pending:
            encoder = pending.pop()
            if encoder in seen or encoder not in config_names("encoders"):
                continue  # the weights of a trainer are in data/<dataset>/models/
            seen.add(encoder)
            config = load_params("encoders", encoder)
            if config.get("library") == "fused":
                pending += str(config.get("architecture", "")).split()
            elif config.get("weights") and config.get("library") not in ("dna_mlm", "tuned"):
                return True
        return False

    def embedded(self, encoders):
        """Files that mark the embeddings of encoders as complete."""
        return [f"{self.data}/embeddings/{encoder}/_SUCCESS" for encoder in encoders]

    def network(self, encoder):
        """Files that an encoder's network on photographs is made of, and the photographs."""
        if encoder in config_names("encoders"):
            files = [f"params/encoders/{encoder}.yaml", *self.weight_files(encoder, load_params("encoders", encoder))]
        else:
            files = [f"{self.data}/models/{encoder}{kind}" for kind in (".safetensors", ".yaml")]
        return [f"{self.data}/metadata.parquet", *files]

    def weight_files(self, encoder, about):
        """Files of weights that a config names or that lie in WEIGHTS: one that is replaced changes the encoder."""
        weights = str(about.get("weights"))
        found = [weights] if is_plain_name(weights.replace("/", "_")) and (ROOT / weights).is_file() else []
        if self.settings.weights and self._reads_weights([encoder]):
            folder = as_path(self.settings.weights)
            files = [folder / f"{about.get('architecture')}{kind}" for kind in (".safetensors", ".pth")]
            found += [str(path) for path in files if is_plain_name(str(path).replace("/", "_")) and path.is_file()]
        return found

    def mapped(self, encoders):
        """The maps of encoders that chapter 04 computes."""
        return [f"{self.data}/maps/{encoder}/default.parquet" for encoder in encoders]

    def _encoders(self):
        for trainer in config_names("trainers"):
            self._trainer(trainer)
        for encoder in dict.fromkeys([*config_names("encoders"), *config_names("trainers")]):
            tuned = encoder not in config_names("encoders")
            config = f"{self.data}/models/{encoder}.yaml" if tuned else f"params/encoders/{encoder}.yaml"
            try:
                self._encoder(encoder, config)
            except ValueError:
                if tuned or encoder in self.settings.encoders:
                    raise  # a faulty config matters only to those who use it

    def _trainer(self, trainer):
        settings, model = self.settings, f"{self.data}/models/{trainer}"
        where, kept = self.weights_for([settings.start])
        config = f"params/trainers/{trainer}.yaml"
        files = [f"{model}.safetensors", f"{model}.yaml", f"{model}.csv"]
        self.chapter(
            TRAINING_CHAPTER,
            files,
            self.network(settings.start),
            [f"trainer={trainer}", f"start={settings.start}", *where, *settings.training],
            label=trainer,
            configs=[config],
            options=[*kept, *settings.to_store("start", "training")],
            then=[f"touch -c {' '.join(files)}"],  # chapter 03 may reuse the network of an earlier run
        )
        self._tuning_scores(trainer, settings.start, files)

    def _tuning_scores(self, setting, start, needs, run=""):
        """Add the rule that compares a tuned network with the encoder it started from; return the file of the scores."""
        scores, needs = f"{self.data}/models/{setting}_scores.csv", [*needs, *self.embedded([start])]
        self.chapter("14_tuned_or_frozen", [scores], needs, [f"setting={setting}"], label=setting, run=run)
        return scores

    def _encoder(self, encoder, config):
        about = load_yaml(config) if (ROOT / config).is_file() else {}
        parts = str(about.get("architecture", "")).split() if about.get("library") == "fused" else []
        for part in parts:
            if part == encoder or part not in (*config_names("encoders"), *config_names("trainers")):
                hint = suggestion(part, config_names("encoders"))
                raise BadSetting(f"{config}: there is no other encoder {part}; {hint}")
        where, kept = self.weights_for([encoder])
        needs = [f"{self.data}/metadata.parquet", *self.weight_files(encoder, about), *self.embedded(parts)]
        given = [f"encoder={encoder}", *where]
        if self.settings.engine != "local" and about.get("library") not in NO_NETWORK:
            given.append(f"engine={self.settings.engine}")
        name, done = "02_extract_embeddings", self.embedded([encoder])
        lost = shard_lost(f"{self.data}/embeddings/{encoder}")
        options = [*kept, *self.settings.to_store("engine")]
        self.chapter(name, done, needs, given, label=encoder, configs=[config], options=options, force=lost)
        drawn = [*self.mapped([encoder]), f"{self.figures}/umap_{encoder}.png"]
        self.chapter("04_umap_visualization", drawn, done, [f"encoder={encoder}"], label=encoder)

    # ---- clusters, scores, figures

    def partitions(self, encoder, clusterer):
        """The cluster tables of an encoder and a clusterer, one for every seed."""
        return [f"{self.data}/clusters/{encoder}/{clusterer}/seed={seed}.parquet" for seed in self.settings.seeds]

    def _clusters_and_scores(self):
        settings, data, figures = self.settings, self.data, self.figures
        for encoder, clusterer in itertools.product(settings.encoders, settings.clusterers):
            self.chapter(
                "05_hierarchical_clustering",
                self.partitions(encoder, clusterer),
                self.embedded([encoder]),
                [f"encoder={encoder}", f"clusterer={clusterer}", f"seeds={' '.join(settings.seeds)}"],
                label=f"{encoder}-{clusterer}",
                configs=[f"params/clusterers/{clusterer}.yaml"],
                covering=("seeds",),
            )
        asked = [f"encoders={' '.join(settings.encoders)}", f"clusterers={' '.join(settings.clusterers)}"]
        tables = [path for run in settings.runs for path in self.partitions(*run.split("/"))]
        self.chapter(
            "06_evaluate",
            [f"{data}/scores.csv", f"{data}/submission.csv"],
            [f"{data}/metadata.parquet", *tables],
            [*asked, f"seeds={' '.join(settings.seeds)}", f"submit={settings.submit}"],
            options=["-r", "plan", *settings.to_store("submit")],
        )
        clusterer = settings.submit.split("/")[1]
        compared = [path for encoder in settings.encoders for path in self.partitions(encoder, clusterer)]
        self.chapter(
            "16_trust",
            [f"{data}/trust.csv"],
            [f"{data}/metadata.parquet", *compared, "params/trust/eu_moths.yaml"],
            [f"run={settings.submit}", f"encoders={' '.join(settings.encoders)}", f"seed={settings.seeds[0]}"],
            options=settings.to_store("submit"),
        )
        self._review_and_sheets()
        drawn = [f"{figures}/{name}" for name in ("scores.csv", "species.png", "scores.png", "n_clusters.png")]
        if settings.world:
            drawn.append(f"{figures}/families.jpg")
        self.chapter("99_figures", drawn, [f"{data}/scores.csv", *self.mapped(settings.encoders)], asked)

        world = [f"{figures}/{name}" for name in WORLD_FIGURES] if settings.world else []
        maps = [f"{figures}/umap_{encoder}.png" for encoder in settings.encoders]
        tables = [f"{data}/submission.csv", f"{data}/trust.csv", *self.reviewed(), f"{data}/previews/clusters/index.csv"]
        tables.append(f"{data}/report.html")
        # UMAP compiles itself for the first map, which had better be while other chapters run
        self.phony["all"] = [*maps[:1], *tables, *drawn, *world, f"{figures}/family_sizes.png", *maps[1:]]
        self.phony["submission"] = [f"{data}/submission.csv"]
        self.phony["atlas"] = [f"{data}/atlas/{settings.submit.partition('/')[0]}.html"]
        self.phony["bench"] = [f"{data}/metadata.parquet"]

    def reviewed(self):
        """The table of chapter 21, if there is a review."""
        return [f"{self.data}/reviewed.csv"] if self.settings.review else []

    def _review_and_sheets(self):
        settings, data, trusted = self.settings, self.data, f"{self.data}/trust.csv"
        digest = ""
        if settings.review:
            digest = hashlib.sha256(as_path(settings.review).read_bytes()).hexdigest()
        run, seed = f"run={settings.submit}", f"seed={settings.seeds[0]}"
        self.chapter(
            "21_review",
            [f"{data}/reviewed.csv", f"{data}/review_rejected.csv"],
            [trusted],
            [run, seed, f"encoders={' '.join(settings.encoders)}", f"review={settings.review}", f"digest={digest}"],
            options=settings.to_store("submit", "review"),
        )
        drawn = [f"{data}/previews/clusters/index.csv", *([f"{self.figures}/clusters.jpg"] if settings.world else [])]
        about = [run, seed, f"reviewed={bool(settings.review)}"]
        kept = settings.to_store("submit", "review")
        self.chapter("19_contact_sheets", drawn, [trusted, *self.reviewed()], about, options=kept)
        needs = [trusted, f"{data}/scores.csv", *self.reviewed(), drawn[0], "atlas/report.html"]
        self.chapter("23_report", [f"{data}/report.html"], needs, about, options=kept)
        submitted, clusterer = settings.submit.split("/")
        for encoder in settings.encoders:  # trust and review are of the submitted run
            own = encoder == submitted
            needs = [trusted, *self.reviewed()] if own else self.partitions(encoder, clusterer)
            known = [f"trusted={own}", f"reviewed={own and bool(settings.review)}"]
            self.chapter(
                "20_atlas",
                [f"{data}/atlas/{encoder}.html"],
                [*needs, *self.mapped([encoder]), *ATLAS_FILES],
                [f"run={encoder}/{clusterer}", seed, *known],
                label=encoder,
                options=settings.to_store("submit", "review") if own else (),
            )

    def _barcodes(self):
        """The rules of chapters 07, 08 and 22.

        Chapter 07 pretrains a model where params/barcodes/ has settings for the dataset. Elsewhere it evaluates the model that
        ships with the project. It also evaluates the published encoders of barcodes among ENCODERS.
        """
        dataset, data, figures = self.settings.dataset, self.data, self.figures
        trained = dataset in config_names("barcodes")
        shipped = "models/dna_mlm.safetensors"
        model = [f"{data}/models/dna_mlm.safetensors", f"{data}/models/dna_mlm.csv"] if trained else []
        known = [name for name in self.settings.encoders if name in config_names("encoders")]
        published = [name for name in known if load_params("encoders", name).get("library") == "huggingface"]
        where, kept = self.weights_for(published)
        self.chapter(
            "07_dna_barcodes",
            [f"{data}/barcode_scores.csv", f"{figures}/barcodes.png", f"{figures}/barcode_scores.csv", *model],
            [f"{data}/metadata.parquet", *([] if trained else [shipped]), *(f"params/encoders/{n}.yaml" for n in published)],
            [f"published={' '.join(published)}", *where, *([] if trained else [f"weights={shipped}"])],
            configs=[f"params/barcodes/{dataset}.yaml"] if trained else [],
            options=kept,
        )
        self.phony["barcodes"] = [f"{figures}/barcodes.png"]
        self.chapter(
            "22_image_and_dna",
            [f"{data}/referee.csv", f"{figures}/image_and_dna.png", f"{figures}/image_and_dna.csv"],
            [f"{data}/submission.csv"],
            [f"run={self.settings.submit}", f"seed={self.settings.seeds[0]}"],
            options=self.settings.to_store("submit"),
        )
        self.phony["referee"] = [f"{figures}/image_and_dna.png"]
        where, kept = self.weights_for([self.settings.start])
        self.chapter(
            "08_align_image_dna_text",
            [f"{figures}/{name}" for name in ("alignment.png", "alignment_retrieval.csv", "alignment_clusters.csv")],
            [f"{data}/metadata.parquet"],
            [f"encoder={self.settings.start}", *where],
            options=[*kept, *self.settings.to_store("start")],
        )
        self.phony["align"] = [f"{figures}/alignment.png"]

    def _report(self):
        settings, data, figures = self.settings, self.data, self.figures
        encoders, seeds = f"encoders={' '.join(settings.encoders)}", f"seeds={' '.join(settings.seeds)}"
        tested = settings.submit.partition("/")[0]
        scores = f"{data}/scores.csv"

        def results(*names):  # in figures/<dataset>/, or in data/<dataset>/ with a "+" before the name
            return [f"{data if name.startswith('+') else figures}/{name.removeprefix('+')}" for name in names]

        where, kept = self.weights_for(settings.encoders)
        self.chapter(
            "10_choosing_without_labels",
            results("+choosing.csv", "choosing.png", "choosing.csv"),
            [scores, *self.mapped(settings.encoders)],
            [encoders, f"clusterers={' '.join(settings.clusterers)}", seeds, *where],
            options=kept,
        )
        where, kept = self.weights_for([tested])
        self.chapter(
            "11_robustness",
            results("+robustness.csv", "robustness.png", "robustness.csv"),
            self.embedded([tested]),
            [f"encoder={tested}", seeds, *where],
            options=[*kept, *settings.to_store("submit")],
        )
        self.chapter(
            "12_taxa",
            results("+taxa.csv", "+confused.csv", "taxa.png", "taxa.csv", "confused.csv"),
            [scores],
            [f"run={settings.submit}", f"seed={settings.seeds[0]}"],
            options=settings.to_store("submit"),
        )
        self.chapter(
            "24_trees",
            [f"{data}/trees.csv", f"{figures}/trees.csv"],
            [scores],
            [f"run={settings.submit}", f"seed={settings.seeds[0]}"],
            options=settings.to_store("submit"),
        )
        self.chapter(
            "25_maps",
            results("+map_quality.csv", "map_quality.png", "map_quality.csv"),
            [scores],
            [encoders, f"clusterer={settings.submit.split('/')[1]}"],
            options=settings.to_store("submit"),
        )
        where, kept = self.weights_for(settings.encoders)
        self.chapter(
            "26_what_the_encoder_sees",
            results("+heatmaps.csv", "heatmaps.png", "heatmaps.csv"),
            [scores],
            [encoders, f"run={settings.submit}", f"seed={settings.seeds[0]}", *where],
            options=[*kept, *settings.to_store("submit")],
        )
        self.chapter(
            "27_what_can_be_read",
            results("+probes.csv", "probes.png", "probes.csv"),
            [scores],
            [encoders, f"run={settings.submit}", f"seed={settings.seeds[0]}"],
            options=settings.to_store("submit"),
        )
        self.chapter(
            "13_how_many",
            results("+k_rules.csv", "k_rules.png", "k_rules.csv", "held_out_families.csv"),
            self.embedded(settings.encoders),
            [encoders],
        )
        self.chapter(
            "15_stress_test",
            results("+stress.csv", "stress.png", "stress.csv"),
            self.embedded([tested]),
            [f"encoder={tested}"],
            options=settings.to_store("submit"),
        )
        self.chapter(
            "17_naming_effort",
            results("effort.png", "effort.csv"),
            [f"{data}/trust.csv"],
            [f"run={settings.submit}"],
            options=settings.to_store("submit"),
        )
        self.chapter("18_how_sure", results("ami_by_k.png", "how_sure.csv"), [scores], [encoders])
        known = [encoder for encoder in settings.encoders if encoder in config_names("encoders")]
        fused = [encoder for encoder in known if load_params("encoders", encoder).get("library") == "fused"]
        learning = list(dict.fromkeys([tested, *fused[:1]]))
        self.chapter(
            "29_learned_heads",
            results("heads.png", "heads.csv"),
            self.embedded(learning),
            [f"encoders={' '.join(learning)}"],
            options=settings.to_store("submit"),
        )
        self.chapter("09_recoverability", results("+recoverability/default.csv"), [])
        tuned = [encoder for encoder in settings.encoders if encoder not in config_names("encoders")]
        compared = [f"{data}/models/{trainer}_scores.csv" for trainer in tuned]
        of_networks = results("heatmaps.png") if tuned or set(settings.encoders) & set(networks()) else []
        self.phony["report"] = [*results(*REPORTED), *of_networks, *compared, f"{data}/atlas/{tested}.html"]
        chapters = [f"{data}/runs/{name}.ipynb" for name in ("09_recoverability", "21_review")]
        self.phony["publish"] = ["all", "report", "barcodes", "referee", "align", *chapters]

    # ---- sweeps

    def _sweep(self):
        settings, sweep = self.settings, self.settings.sweep
        folder = f"{self.data}/sweeps/{sweep}"
        config = load_sweep(sweep)
        encoders = settings.sweep_encoders()
        asked = " ".join(encoders)
        points = sweep_points(sweep, encoders)
        done = [self._point(point, parameters, config, encoders) for point, parameters in points.items()]
        report = SWEEP_REPORTS.get(config["notebook"])
        self.phony["sweep"] = [f"{folder}/summary.csv"] if report else done
        if not report:
            return
        kept = settings.given.get("encoders") or (settings.stored.get("sweeps") or {}).get(sweep, "")
        self.chapter(
            report,
            [f"{folder}/summary.csv", f"{self.figures}/sweep_{sweep}.png", f"{self.figures}/sweep_{sweep}.csv"],
            [f"params/sweeps/{sweep}.yaml", *done],
            [f"sweep={sweep}", f"encoders={asked}"],
            label=sweep,
            options=["-r", f"sweeps.{sweep}={kept}"],
            then=[f"echo {asked} > {folder}/encoders.txt"],
        )

    def _point(self, point, parameters, config, encoders):
        """Add the rules of one point of a sweep; return the file that marks it as complete: its notebook, or its scores."""
        settings, sweep, notebook = self.settings, self.settings.sweep, config["notebook"]
        if not is_plain_name(point):
            raise BadSetting(f"params/sweeps/{sweep}.yaml: {point} is not a plain name for a point")
        declared = declared_parameters(notebook)
        needs = [f"params/{kind}s/{parameters[kind]}.yaml" for kind in config["configs"]]
        several = parameters.get("encoders", [])
        needs += [f"params/encoders/{name}.yaml" for name in several if name in config_names("encoders")]
        own_start = any("start" in config[part] for part in ("fixed", "vary", "grid"))
        start = parameters["start"] if own_start else settings.start
        if "trainer" in parameters:
            needs.append(f"{self.data}/metadata.parquet")
        elif "encoder" in parameters:  # a point of chapter 02 computes embeddings, others need them
            computes = parameters["encoder"] == point
            needs += [f"{self.data}/metadata.parquet"] if computes else self.embedded([parameters["encoder"]])
        if "clusterer" in parameters:
            needs.append(f"params/clusterers/{parameters['clusterer']}.yaml")
        given, options = [], ["--sweep", sweep, "--encoders", " ".join(encoders)]
        if "start" in declared:
            check_start(start, f"params/sweeps/{sweep}.yaml: start: {start}")
            needs += self.network(start)
            given += [f"start={start}", *settings.training]
            options += settings.to_store(*(["training"] if own_start else ["start", "training"]))
        if "weights_dir" in declared:
            used = [start] if "start" in declared else several or [parameters.get("encoder")]
            where, kept = self.weights_for(used)
            given, options = [*given, *where], [*options, *kept]
        run = f"{self.data}/sweeps/{sweep}/{point}.ipynb"
        self.chapter(notebook, [], needs, given, run=run, own=own_parameters(parameters), options=options)
        if notebook == TRAINING_CHAPTER:
            return self._tuning_scores(point, start, [run], run=f"{self.data}/sweeps/{sweep}/{point}-scores.ipynb")
        return run

    # ---- the makefile

    def reaches(self, target):
        """Whether the goals of this call depend on a target."""
        needs = {name: rule.needs for rule in self.rules for name in (rule.run, *rule.files)} | self.phony
        seen, pending = set(), list(self.goals)
        while pending:
            name = pending.pop()
            if name not in seen:
                seen.add(name)
                pending += needs.get(name, [])
        return target in seen

    def makefile(self):
        """The text that the Makefile includes."""
        parts = [
            "# Written by plan.py for one call of make.",
            "EQ := =",
            *(f"{name}: {make_list(needs)}" for name, needs in self.phony.items()),
            f".PRECIOUS: {make_list(rule.run for rule in self.rules)}",
            "",
            *map(str, self.rules),
        ]
        return "\n".join(parts)


def write_plan(dataset, text):
    """Write a makefile under a name with a hash of its content, so that calls at the same time do not mix; return the name."""
    path = ROOT / "data" / ".plans" / f"{dataset}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.mk"
    if not path.is_file():
        with atomic_write(path) as temporary:
            temporary.write_text(text)
    for old in path.parent.glob("steps-*"):  # of calls of make that were stopped
        if time.time() - old.stat().st_mtime > 86_400:
            old.unlink(missing_ok=True)
    for old in sorted(plans_of(dataset), key=lambda p: p.stat().st_mtime_ns, reverse=True)[PLANS_KEPT:]:
        if old != path:
            old.unlink(missing_ok=True)
    return path.relative_to(ROOT)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=("rules", "settings", "clean", "nearest"))
    parser.add_argument("--goals", default="")
    parser.add_argument("settings", nargs="*", metavar="NAME=value")
    arguments = parser.parse_intermixed_args()
    given, goals = parse_settings(arguments.settings), arguments.goals.split()
    try:
        if arguments.command == "nearest":
            name, *known = arguments.settings
            print(f"there is no variable {name}; {suggestion(name, known)}")
        elif arguments.command == "clean":
            clean(given.get("dataset", "demo"))
        elif arguments.command == "settings":
            settings = Settings(given)
            lists = {"ENCODERS": settings.encoders, "CLUSTERERS": settings.clusterers, "SEEDS": settings.seeds}
            listed = "  ".join(f'{name}="{" ".join(values)}"' for name, values in lists.items())
            print(f"DATASET={settings.dataset}  START={settings.start}  {listed}")
        else:
            settings = Settings(given, goals)
            print(write_plan(settings.dataset, Plan(settings, goals).makefile()))
    except (ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
