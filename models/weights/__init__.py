"""The trained networks that are shipped: an ONNX file and its sidecar each, named by `microscoped.models.registry`."""
