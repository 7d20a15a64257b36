"""The control plane: its values and rules, whatever API they come through."""
