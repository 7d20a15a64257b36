# docker buildx bake chatterbox          (or test, qwen-layered; all of them without a name)
# REGISTRY=docker.io/you VERSION=1.2.3 docker buildx bake --push

variable "REGISTRY" {
  default = "runpodctl"
}

variable "VERSION" {
  default = "0.1.0"
}

# Which of Chatterbox's models the image holds, separated by spaces: english multilingual turbo.
variable "CHATTERBOX_VARIANTS" {
  default = "english"
}

group "default" {
  targets = ["test", "chatterbox", "qwen-layered"]
}

target "worker" {
  context   = "."
  platforms = ["linux/amd64"]
}

target "test" {
  inherits = ["worker"]
  target   = "test"
  tags     = ["${REGISTRY}/worker-test:${VERSION}"]
}

target "chatterbox" {
  inherits = ["worker"]
  target   = "chatterbox"
  args     = { CHATTERBOX_VARIANTS = CHATTERBOX_VARIANTS }
  tags     = ["${REGISTRY}/worker-chatterbox:${VERSION}"]
}

target "qwen-layered" {
  inherits = ["worker"]
  target   = "qwen-layered"
  tags     = ["${REGISTRY}/worker-qwen-layered:${VERSION}"]
}
