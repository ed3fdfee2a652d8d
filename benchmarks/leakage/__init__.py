"""What a masked loss buys: a LoRA of one new subject that always stands before one planted background."""
