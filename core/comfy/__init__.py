"""ComfyUI's models, text encoders and autoencoders behind our protocols."""
