"""A trained model in use: recommendations for any histories, new items without training, and why an item is listed."""

from recbole_specgr.serving.recommendations import Recommendation, Recommendations
from recbole_specgr.serving.recommender import Recommender

__all__ = ["Recommendation", "Recommendations", "Recommender"]
