"""What judges: conductor, SLOs, evidence, verdict, report, CLI."""
