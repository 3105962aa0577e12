# Records what lm-eval answers on 100 MMLU and 100 GSM8K rows with a tiny model: test/golden/lm-eval.json.
#
#   python test/parity/lm-eval-goldens.py ../shared test/golden/lm-eval.json
#
# Needs torch, transformers, datasets and lm_eval 0.4.13. What lm_eval imports and these tasks do not use may be missing: it is replaced by empty modules.
import csv
import importlib.machinery
import importlib.util
import json
import sys
import types
from pathlib import Path


def replace_missing(name):
    if importlib.util.find_spec(name.split(".")[0]) is not None and name.split(".")[0] not in replaced:
        return
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    module.__getattr__ = member
    sys.modules[name] = module
    replaced.add(name)


def member(attribute):
    if attribute.startswith("__"):
        raise AttributeError(attribute)
    return lambda *arguments, **named: None


replaced = set()
for missing in ["evaluate", "sacrebleu", "sqlitedict", "pytablewriter", "rouge_score", "rouge_score.rouge_scorer", "rouge_score.scoring", "word2number", "more_itertools", "sklearn", "sklearn.metrics", "jsonlines", "zstandard"]:
    replace_missing(missing)

import datasets  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402

torch.manual_seed(0)
torch.set_num_threads(1)

import lm_eval  # noqa: E402
from lm_eval.api.task import ConfigurableTask  # noqa: E402
from lm_eval.models.huggingface import HFLM  # noqa: E402

shared, target = Path(sys.argv[1]), Path(sys.argv[2])
tasks = Path(lm_eval.__file__).parent / "tasks"


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: None)


def config_of(*files):
    config = {}
    for file in files:
        config |= yaml.load((tasks / file).read_text(), Loader)
    return config


def mmlu_rows(split):
    with open(shared / f"data/tasks/mmlu-high-school-computer-science-{split}.csv", newline="") as file:
        return [{"question": row[0], "choices": row[1:5], "answer": "ABCD".index(row[5])} for row in csv.reader(file)]


def gsm8k_rows():
    with open(shared / "data/tasks/gsm8k-test.jsonl") as file:
        return [json.loads(line) for line in file][:100]


def task_of(config, **splits):
    class LocalTask(ConfigurableTask):
        def download(self, *args, **kwargs):
            self.dataset = datasets.DatasetDict({name: datasets.Dataset.from_list(rows) for name, rows in splits.items()})

    for key in ["tag", "include", "task_alias"]:
        config.pop(key, None)
    return LocalTask(config=config)


def evaluated(model, task, num_fewshot=0):
    from lm_eval import evaluator

    task.set_config("num_fewshot", num_fewshot)
    return evaluator.evaluate(lm=model, task_dict={task.config.task: task}, log_samples=True, bootstrap_iters=0)


model = HFLM(pretrained=str(shared / "data/models/stories260K"), device="cpu", dtype="float32", batch_size=100)
record = {"lm_eval": "0.4.13", "model": "stories260K"}

for name, files, fewshot in [
    ("mmlu", ["mmlu/default/_default_template_yaml", "mmlu/default/mmlu_high_school_computer_science.yaml"], 0),
    ("mmlu_2_shot", ["mmlu/default/_default_template_yaml", "mmlu/default/mmlu_high_school_computer_science.yaml"], 2),
    ("mmlu_continuation", ["mmlu/continuation/_continuation_template_yaml"], 0),
]:
    config = config_of(*files) | {"task": name}
    config.setdefault("metric_list", [{"metric": "acc"}, {"metric": "acc_norm"}])
    config["metric_list"] = [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in ["acc", "acc_norm"]]
    results = evaluated(model, task_of(config, test=mmlu_rows("test"), dev=mmlu_rows("dev")), fewshot)
    samples = sorted(results["samples"][name], key=lambda sample: sample["doc_id"])
    record[name] = {
        "description": config.get("description", ""),
        "acc": results["results"][name]["acc,none"],
        "acc_norm": results["results"][name]["acc_norm,none"],
        "first_prompt": samples[0]["arguments"][0][0] if isinstance(samples[0]["arguments"], (list, tuple)) else samples[0]["arguments"]["gen_args_0"]["arg_0"],
        "log_likelihoods": [[round(float(response[0] if not isinstance(response[0], (list, tuple)) else response[0][0]), 6) for response in sample["filtered_resps"]] for sample in samples],
    }

# 64 new tokens instead of 256: a tiny model never answers, and the texts are compared.
config = config_of("gsm8k/gsm8k.yaml")
config["generation_kwargs"]["max_gen_toks"] = 64
task = task_of(config | {"num_fewshot": 0}, test=gsm8k_rows(), train=gsm8k_rows()[:8])
results = evaluated(model, task)
samples = results["samples"]["gsm8k"]
strict = sorted((s for s in samples if s["filter"] == "strict-match"), key=lambda s: s["doc_id"])
flexible = sorted((s for s in samples if s["filter"] == "flexible-extract"), key=lambda s: s["doc_id"])
record["gsm8k"] = {
    "exact_match_strict": results["results"]["gsm8k"]["exact_match,strict-match"],
    "exact_match_flexible": results["results"]["gsm8k"]["exact_match,flexible-extract"],
    "answers": [sample["resps"][0][0] for sample in strict],
    "strict": [sample["filtered_resps"][0] for sample in strict],
    "flexible": [sample["filtered_resps"][0] for sample in flexible],
}

# A tiny model never answers right: extraction and comparison are also recorded on answers that a good model might give.
rows = gsm8k_rows()
number = lambda row: row["answer"].split("#### ")[-1]  # noqa: E731
given = []
for index, row in enumerate(rows):
    right = number(row)
    given.append([
        row["answer"],
        f" The answer is ${right}.",
        f"It is {right}.00",
        f"#### {right}.",
        f"#### ${right}",
        f"first 12, then {right} apples.\n\n#### {right}\n#### 7",
        f"-{right}, 1,000 and .5.",
        "no number at all",
        f"#### -{right}",
        f"he pays {right} dollars",
    ][index % 10])
from lm_eval.api.instance import Instance  # noqa: E402

cases = []
instances = [Instance(request_type="generate_until", doc=row, arguments=("", {}), idx=0) for row in rows]
for instance, text in zip(instances, given):
    instance.resps = [text]
for ensemble in task._filters:
    ensemble.apply(instances)
for row, text, instance in zip(rows, given, instances):
    case = {"answer": text, "reference": row["answer"]}
    for name in ["strict-match", "flexible-extract"]:
        extracted = instance.filtered_resps[name]
        case[name] = [extracted, bool(task.process_results(row, [extracted])["exact_match"] == 1)]
    cases.append(case)
record["extraction"] = cases

target.write_text(json.dumps(record, indent=1, ensure_ascii=False, default=lambda number: number.item()) + "\n")
print({name: {key: value for key, value in part.items() if key.startswith(("acc", "exact"))} for name, part in record.items() if isinstance(part, dict)})
