#!/usr/bin/env python3
"""Holds the configuration against the provider's published arguments, without the provider and without a cloud.

`check.py` parses every .tf file of the folder above and looks up each resource's arguments, blocks, required arguments and
references in reference.json. `check.py --self-test` shows that it finds what it is there to find.
"""

import json
import pathlib
import re
import sys

import hcl2

HERE = pathlib.Path(__file__).parent
# What Terraform itself knows in every resource.
META_ARGUMENTS = {"for_each", "count", "provider", "depends_on"}
META_BLOCKS = {"lifecycle"}


def plain(name):
    """The parser keeps quotes round labels and strings."""
    return name.strip('"') if isinstance(name, str) else name


def faults_of_body(body, known, where, top):
    for key, value in body.items():
        key = plain(key)
        if key.startswith("__") or (top and key in META_ARGUMENTS | META_BLOCKS):
            continue
        if key in known["blocks"]:
            blocks = value if isinstance(value, list) else [value]
            for block in blocks:
                yield from faults_of_body(block, known["blocks"][key], f"{where}.{key}", top=False)
        elif key not in known["arguments"]:
            yield f"{where}: the provider knows no argument or block `{key}`; it knows {', '.join(known['arguments'] + sorted(known['blocks']))}"
    given = {plain(key) for key in body}
    for key in known["required"]:
        if key not in given:
            yield f"{where}: `{key}` is required"


def faults(texts, reference):
    declared, used = set(), []
    for file, text in texts.items():
        tree = hcl2.loads(text)
        for kind in ("resource", "data"):
            for entry in tree.get(kind, []):
                for type_name, instances in entry.items():
                    type_name = plain(type_name)
                    for name, body in instances.items():
                        name = plain(name)
                        if name.startswith("__"):
                            continue
                        where = f"{file}: {type_name}.{name}"
                        declared.add(f"{'data.' if kind == 'data' else ''}{type_name}.{name}")
                        if type_name not in reference[kind]:
                            yield f"{where}: reference.json has no {kind} of that type; add it from the provider's documentation"
                            continue
                        yield from faults_of_body(body, reference[kind][type_name], where, top=True)
        for entry in tree.get("variable", []):
            declared.update(f"var.{plain(name)}" for name in entry)
        for entry in tree.get("locals", []):
            declared.update(f"local.{plain(name)}" for name in entry if not name.startswith("__"))
        code = re.sub(r"#.*", "", text)
        used += [(file, found) for found in re.findall(r"\b(?:data\.)?yandex_\w+\.\w+|\b(?:var|local)\.\w+", code)]
    for file, name in sorted(set(used)):
        if name not in declared:
            yield f"{file}: {name} is used and nowhere declared"


def self_test(texts, reference):
    wrong = [
        ("machines.tf", "core_fraction =", "core_share ="),
        ("machines.tf", "subnet_id      =", "subnet         ="),
        ("machines.tf", "var.platform", "var.platfrom"),
        ("network.tf", "destination_prefix =", "prefix ="),
        ("network.tf", "yandex_vpc_gateway.out.id", "yandex_vpc_gateway.way.id"),
        ("network.tf", '"yandex_vpc_address"', '"yandex_vpc_adress"'),
    ]
    for file, right, mistake in wrong:
        assert right in texts[file], f"{file} has no {right!r} any more: change the self-test"
        found = list(faults({**texts, file: texts[file].replace(right, mistake, 1)}, reference))
        assert found, f"{mistake!r} in {file} was not found"


def main():
    reference = json.loads((HERE / "reference.json").read_text())
    texts = {file.name: file.read_text() for file in sorted(HERE.parent.glob("*.tf"))}
    self_test(texts, reference)
    found = list(faults(texts, reference))
    for fault in found:
        print(fault, file=sys.stderr)
    resources = sum(text.count("\nresource ") + text.startswith("resource ") for text in texts.values())
    print(f"{len(texts)} files, {resources} resources: {len(found)} faults; six planted ones were found")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
