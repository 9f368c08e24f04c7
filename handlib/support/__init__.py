"""What any program needs: files, images as bytes."""
