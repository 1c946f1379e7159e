"""Files of any kind -> RecBole's atomic files."""
