"""The volunteer's side: hears, seals, keeps and sends, and knows no secret of any fleet."""
