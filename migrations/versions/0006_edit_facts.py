"""The facts that an edit changes: one, or many.

`edits` keeps its columns `fact_id` and `target`: the payloads of all events since schema 0003 cover
them, and without them no digest of an edit that was recorded before would come out again. They say
the first fact, as the row at position 0 does.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "edit_facts",
        sa.Column("edit_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fact_id", sa.Integer(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["edit_id"], ["edits.id"], name=op.f("fk_edit_facts_edit_id_edits")
        ),
        sa.ForeignKeyConstraint(
            ["fact_id"], ["facts.id"], name=op.f("fk_edit_facts_fact_id_facts")
        ),
        sa.PrimaryKeyConstraint("edit_id", "position", name=op.f("pk_edit_facts")),
        sqlite_with_rowid=False,
    )
    # An edit of a fact that is not there is damage, which `verify` tells and no upgrade stops at.
    op.execute(
        "INSERT INTO edit_facts SELECT id, 0, fact_id, target FROM edits "
        "WHERE fact_id IN (SELECT id FROM facts)"
    )
