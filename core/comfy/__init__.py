"""What this pack knows of ComfyUI: its models, text encoders and autoencoders behind our protocols."""
