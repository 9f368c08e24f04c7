"""Names of test sets, and how methods are compared on each. Nothing here opens a data set."""

SPLITS = ("diverse", "studio", "object")  # of the open benchmark
PHOTOS = "photos"  # photographs in a folder of one's own
PUBLISHED = {"diverse": "RHD", "studio": "SHD", "object": "DO", "rhd": "RHD", "stb": "SHD", "do": "DO"}
TITLES = {
    "rhd": "RHD",
    "stb": "SHD (STB)",
    "do": "Dexter+Object",
    "freihand": "FreiHAND",
    "ho3d": "HO3D",
    "interhand": "InterHand2.6M",
    "photos": "photographs",
}
PREFIX = "reproduce-"  # of the name of every results file
DESCENT = "gradient"  # how Eq. 13 is descended, whose claims are judged: by the paper's steps, not by ours

# No root is annotated in Dexter+Object, so its own protocol must do.
HEADLINE = {"do": "dexter_object_auc_20_50_mm"}
USUAL_HEADLINE = "joints_root_auc_20_50_mm"
# Kept of every hand, where there is such a truth; half_mm: root_mm after half of the steps of Eq. 13.
ERRORS = ("auc", "root_mm", "half_mm", "procrustes_mm", "vertices_mm", "iou")


def headline(test: str) -> str:
    """The name of the metric by which methods are compared on a test set: an AUC."""
    return HEADLINE.get(test, USUAL_HEADLINE)


def pck_name(test: str) -> str:
    """The PCK curve that belongs to the headline."""
    return "pck_dexter_object" if test in HEADLINE else "pck_root"
