// open
