"""The features and teachers of small networks that several tests train."""

from uf_diffusion.kernels.activations import Activation
from uf_diffusion.kernels.features import Radial, ReLU
from uf_diffusion.problem.densities import Bumps, VonMisesFisher
from uf_diffusion.problem.manifolds import Circle, FlatTorus, Sphere

CIRCLE, TORUS, SPHERE = Circle(), FlatTorus(2, 4.0), Sphere(2)
TAU = 2.0**-10
FEATURES = {
    "circle": (ReLU(CIRCLE), Bumps(CIRCLE)),
    "sphere": (ReLU(SPHERE), VonMisesFisher(SPHERE)),
    "torus": (Radial(TORUS), Bumps(TORUS)),
    "gelu and bias": (Activation("gelu", bias=True, manifold=CIRCLE), Bumps(CIRCLE)),
    "tanh": (Activation("tanh", 0.8, manifold=SPHERE), VonMisesFisher(SPHERE)),
    "smooth torus": (Radial(TORUS, 0.5, "gaussian"), Bumps(TORUS)),
}
