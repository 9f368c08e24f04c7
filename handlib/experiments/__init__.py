"""What the results are made by: reproduction, ablations, baselines, benches."""
