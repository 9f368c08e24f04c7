"""What was estimated or trained, for other programs: meshes, parameters under smplx's names, ONNX."""
