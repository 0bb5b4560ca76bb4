"""Pictures of an evaluation."""
def forecast_figures(evaluation):
    return {}
