"""Changes of all value slots of a layer at once, beside those of single slots."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "edit_layers",
        sa.Column("edit_id", sa.String(length=64), nullable=False),
        sa.Column("layer", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["edit_id"], ["edits.id"], name=op.f("fk_edit_layers_edit_id_edits")
        ),
        sa.PrimaryKeyConstraint("edit_id", "layer", name=op.f("pk_edit_layers")),
    )
    op.create_index(op.f("ix_edit_layers_layer"), "edit_layers", ["layer"], unique=False)
