/** The files of the smallest Rails application, as rails new writes them. */
export const BIN_RAILS = `#!/usr/bin/env ruby
APP_PATH = File.expand_path("../config/application", __dir__)
require "rails/commands"
`;
export const RAILS_APPLICATION = `require "rails"
require "action_controller/railtie"
module Site
  class Application < Rails::Application
    config.eager_load = false
    config.logger = Logger.new(nil)
  end
end
`;

export const RAILS_ENVIRONMENT = 'require_relative "application"\nRails.application.initialize!\n';
