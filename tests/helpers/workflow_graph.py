"""A workflow of the graph editor with its subgraphs opened: the nodes that are run, by ids that no two share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NOTE = "MarkdownNote"
_INPUTS, _OUTPUTS = -10, -20

Link = tuple[int, int, int, int, str]
"""Origin, its output, target, its input, type."""
Node = dict[str, Any]


@dataclass(frozen=True)
class Level:
    """The graph itself, or what is in one of its subgraph nodes, the `host`, which is in `above`."""

    nodes: dict[int, Node]
    links: dict[int, Link]
    subgraphs: dict[str, dict[str, Any]]
    definition: dict[str, Any] | None = None
    host: Node | None = None
    above: Level | None = None

    def inside(self, host: Node) -> Level:
        """What is in one of its subgraph nodes."""
        definition = self.subgraphs[host["type"]]
        links = {
            link["id"]: (link["origin_id"], link["origin_slot"], link["target_id"], link["target_slot"], link["type"])
            for link in definition["links"]
        }
        nodes = {node["id"]: node for node in definition["nodes"]}
        return Level(nodes, links, self.subgraphs, definition, host, self)

    def levels(self) -> Iterator[Level]:
        """This one and those inside."""
        yield self
        for node in self.nodes.values():
            if node["type"] in self.subgraphs:
                yield from self.inside(node).levels()

    def check_links(self) -> None:
        """Both ends of every link know it, and agree about its type."""
        known: set[int] = set()
        for link, (origin, out, target, position, kind) in self.links.items():
            if origin != _INPUTS:
                output = self.nodes[origin]["outputs"][out]
                assert link in output["links"]
                assert kind == output["type"]
            if target != _OUTPUTS:
                assert self.nodes[target]["inputs"][position]["link"] == link
            known.add(link)
        entries = (entry["link"] for node in self.nodes.values() for entry in node["inputs"])
        assert {link for link in entries if link is not None} <= known

    def walk(self) -> Iterator[tuple[Level, Node]]:
        """Every node that is no subgraph, and where it is."""
        for node in self.nodes.values():
            if node["type"] in self.subgraphs:
                yield from self.inside(node).walk()
            else:
                yield self, node

    def source(self, link: int) -> tuple[Level, Node, int] | tuple[str, Any]:
        """Where a link comes from: (where it is, node, its output), or ("value", a widget's value of a subgraph)."""
        origin, slot = self.links[link][:2]
        if origin == _INPUTS:
            assert self.host is not None
            assert self.above is not None
            entry = self.host["inputs"][slot]
            if entry["link"] is not None:
                return self.above.source(entry["link"])
            named = [each["name"] for each in self.host["inputs"] if each.get("widget")]
            return "value", self.host["widgets_values"][named.index(entry["name"])]
        node = self.nodes[origin]
        if node["type"] not in self.subgraphs:
            return self, node, slot
        inner = self.inside(node)
        assert inner.definition is not None
        return inner.source(inner.definition["outputs"][slot]["linkIds"][0])


def opened(workflow: dict[str, Any]) -> Level:
    """The graph of a workflow. No two nodes share an id, so that the last part of one in the prompt names a node."""
    links = {link[0]: tuple(link[1:]) for link in workflow["links"]}
    subgraphs = {each["id"]: each for each in workflow.get("definitions", {}).get("subgraphs", [])}
    level = Level({node["id"]: node for node in workflow["nodes"]}, links, subgraphs)
    ids = [node["id"] for _, node in level.walk()]
    assert len(ids) == len(set(ids))
    return level


def runnable(workflow: dict[str, Any]) -> dict[str, tuple[Level, Node]]:
    """The nodes of a workflow that are run, by id."""
    return {str(node["id"]): (level, node) for level, node in opened(workflow).walk() if node["type"] != NOTE}


def given_inputs(level: Level, node: Node, widget_names: list[str] | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """(links as the API has them, values by name) of a node; of one whose widgets are not known, values by place."""
    linked: dict[str, Any] = {}
    promoted: dict[str, Any] = {}
    for position, entry in enumerate(node["inputs"]):
        if entry["link"] is None:
            continue
        assert level.links[entry["link"]][2:4] == (node["id"], position)
        source = level.source(entry["link"])
        if source[0] == "value":
            promoted[entry["name"]] = source[1]
        else:
            _, origin, slot = source  # type: ignore[misc]
            linked[entry["name"]] = [str(origin["id"]), slot]
    stored = node.get("widgets_values", [])
    if widget_names is None:
        return linked, {**dict(enumerate(stored)), **promoted}
    assert len(stored) == len(widget_names), f"{node['type']} stores {len(stored)} values for {widget_names}"
    return linked, {**dict(zip(widget_names, stored, strict=True)), **promoted}
