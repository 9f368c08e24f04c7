"""Answers without what they answer: signatures and docstrings stay, bodies say what to do."""

import ast


def stub(code, name=""):
    """Code whose functions raise `NotImplementedError` and whose other names hold `...`; imports stay."""
    asked = "your answer" if name else "your answer, without which the next cell fails"
    kept, waiting = [], []
    for node in ast.parse(code).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            kept.append(ast.get_source_segment(code, node))
        elif isinstance(node, ast.FunctionDef):
            waiting.append(_function(code, node, name))
        elif isinstance(node, ast.Assign):
            targets = [
                t for target in node.targets for t in (target.elts if isinstance(target, ast.Tuple) else [target])
            ]
            waiting += [f"{target.id} = ...  # {asked}" for target in targets if isinstance(target, ast.Name)][-1:]
    values = [line for line in waiting if line.endswith(f"# {asked}")]
    functions = [text for text in waiting if text not in values]
    # Of a computation only what comes out is asked for; with a function, the function alone.
    return "\n".join(filter(None, ["\n".join(kept), "\n\n".join(functions) if functions else "".join(values[-1:])]))


def _function(code, node, name):
    lines = code.split("\n")
    first = node.body[0]
    head = (
        "\n".join(lines[node.lineno - 1 : first.lineno - 1]) if first.lineno > node.lineno else lines[node.lineno - 1]
    )
    says = f'    raise NotImplementedError("{f"{name}: " if name else ""}write {node.name}() here")'
    document = ast.get_docstring(node, clean=False)
    if document is None:
        return f"{head.rstrip()}\n{says}"
    return f"{head}\n{ast.get_source_segment(code, first.value).join(['    ', ''])}\n{says}"
