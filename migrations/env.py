"""How alembic reaches the ledger: kn_edit.ledger.database hands it an open transaction."""

from __future__ import annotations

from alembic import context

from kn_edit.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
