"""What alembic runs: on the connection that `store.migrate` opened, inside the tx that it began."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="bursar_version",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
