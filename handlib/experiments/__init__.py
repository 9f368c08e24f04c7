"""What the results are made by: reproduction, ablations, tuning, baselines, benches."""
