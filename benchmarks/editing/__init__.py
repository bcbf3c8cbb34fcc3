"""Mass editing: kn-edit's joint update beside other editors, on the same model and facts.

    python -m benchmarks.editing --help

facts       which facts, drawn by a seed
places      prompts as tokens, and where their subjects end
targets     what a layer is to say there for the new answer to come
solutions   the papers' formulas, as algebra of matrices
editors     each way to edit, and what it keeps between edits
measuring   what a model says of facts after edits
runs        the sweep, a line of results for each run
report      docs/editing.md from these lines
"""
