"""How a claim becomes calls: pytest-bdd step definitions, nothing else."""
